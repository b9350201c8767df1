"""Roll-ups of usage by model, provider, agent, workflow, user and key in minutes, hours and days: what pages read.

A recorder writes rows of `token_usage` only. `compact` adds all rows above the watermark to the roll-ups and moves the
watermark, in one transaction; a read takes the roll-ups and the rows above the watermark in one statement. So a sum is
exact at every moment, however often a compaction is killed. A row that changes below the watermark is taken out of the
roll-ups as it was and put in again as it is.

Each dimension is summed by itself: the contract asks for one at a time, and users by models by keys would be as many
sums as there are calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from pilothouse.sdk import DAY, HOUR, MINUTE, now

TOTAL = "total"
COLUMNS: Mapping[str, str | None] = {
    TOTAL: None, "model": "model", "provider": "provider", "agent": "agent", "workflow": "workflow", "user": "user",
    "key": "key_id",
}  # fmt: skip
CODES: Mapping[str, int] = {name: place for place, name in enumerate(COLUMNS)}
SIZES = (MINUTE, HOUR, DAY)  # by resolution
SUMS = (
    "calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "cost_nano",
    "unpriced_records",
)  # fmt: skip
TOKENS = SUMS[1:6]

WATERMARK = "rolled_up_to"  # the highest `seq` that the roll-ups hold
MINUTES_FROM = "minutes_from"  # before this moment minutes are kept of the total only
MINUTES_KEPT = 8 * DAY  # of the dimensions; an older edge of a period is read from its hour's rows
COMPACT_ROWS = 5_000  # rows a compaction takes in one transaction: it holds the writers' lock for some 100 ms
PRUNE_SPAN = 6 * HOUR  # of minutes that one transaction prunes

_NAMES = ", ".join(("dimension", "resolution", "at", '"key"', *SUMS))
_ADDED = ", ".join(f"{name} = token_rollups.{name} + excluded.{name}" for name in SUMS)
_MERGE = f'ON CONFLICT (dimension, resolution, at, "key") DO UPDATE SET {_ADDED}'
ROW_SUMS = (
    "1, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, COALESCE(cost_nano, 0), "
    "CASE WHEN cost_nano IS NULL THEN 1 ELSE 0 END"
)
_SUMMED = ", ".join(f"SUM({part})" for part in ROW_SUMS.split(", ", 6))
_ADJUST = text(
    f"INSERT INTO token_rollups ({_NAMES}) VALUES (:dimension, :resolution, :at, :key, "  # noqa: S608 - our own names only
    f"{', '.join(f':{name}' for name in SUMS)}) {_MERGE}"
)


def key_column(dimension: str) -> str:
    """Return the SQL of a usage row's key in a dimension; "" is unattributed."""
    column = COLUMNS[dimension]
    return "''" if column is None else f"COALESCE(\"{column}\", '')"


def read_state(connection: Connection, name: str) -> int:
    """Return a number that background work keeps; 0 before it ran."""
    return int(connection.scalar(text("SELECT value FROM token_state WHERE name = :name"), {"name": name}) or 0)


def write_state(connection: Connection, name: str, value: int) -> None:
    """Keep a number of background work."""
    statement = "INSERT INTO token_state (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value"
    connection.execute(text(statement), {"name": name, "value": value})


def compact(connection: Connection) -> int:
    """Add the next rows above the watermark to the roll-ups; returns how many numbers it moved on, 0 when all are in.

    Must run in a writing transaction that holds the writers' lock.
    """
    low = read_state(connection, WATERMARK)
    bounds = {"low": low, "most": COMPACT_ROWS}
    statement = "SELECT MAX(seq) FROM (SELECT seq FROM token_usage WHERE seq > :low ORDER BY seq LIMIT :most) AS next"
    high = connection.scalar(text(statement), bounds)
    if high is None:
        return 0
    minutes_from = read_state(connection, MINUTES_FROM)
    for dimension, code in CODES.items():
        for resolution, size in enumerate(SIZES):
            first = minutes_from if resolution == 0 and dimension != TOTAL else 0
            connection.execute(
                text(
                    f"INSERT INTO token_rollups ({_NAMES}) "  # noqa: S608 - our own names only
                    f"SELECT {code:d}, {resolution:d}, at - at % {size:d}, {key_column(dimension)}, {_SUMMED} "
                    "FROM token_usage WHERE seq > :low AND seq <= :high AND counted AND at >= :first "
                    f"GROUP BY 3, 4 {_MERGE}"
                ),
                {"low": low, "high": high, "first": first},
            )
    write_state(connection, WATERMARK, high)
    return int(high) - low


class Adjustment:
    """Collects rows that change below the watermark and adds the difference to the roll-ups in a few statements.

    Must be made and written in one writing transaction that holds the writers' lock.
    """

    def __init__(self, connection: Connection) -> None:
        """Read how far the roll-ups are: rows above the watermark are not in them yet."""
        self._connection = connection
        self._watermark = read_state(connection, WATERMARK)
        self._minutes_from = read_state(connection, MINUTES_FROM)
        self._sums: dict[tuple[int, int, int, str], list[int]] = {}

    def take_out(self, row: Mapping[str, Any]) -> None:
        """Take out a row as it was."""
        self._apply(row, -1)

    def put_in(self, row: Mapping[str, Any]) -> None:
        """Put in a row as it is now."""
        self._apply(row, 1)

    def write(self) -> None:
        """Add what was collected."""
        rows = [
            {"dimension": code, "resolution": resolution, "at": at, "key": key, **dict(zip(SUMS, sums, strict=True))}
            for (code, resolution, at, key), sums in sorted(self._sums.items())
            if any(sums)
        ]
        if rows:
            self._connection.execute(_ADJUST, rows)

    def _apply(self, row: Mapping[str, Any], sign: int) -> None:
        if row["seq"] > self._watermark:
            return
        values = (1, *(row[name] for name in TOKENS), row["cost_nano"] or 0, int(row["cost_nano"] is None))
        for dimension, column in COLUMNS.items():
            key = (row[column] or "") if column else ""
            for resolution, size in enumerate(SIZES):
                if resolution == 0 and dimension != TOTAL and row["at"] < self._minutes_from:
                    continue
                place = (CODES[dimension], resolution, row["at"] - row["at"] % size, key)
                sums = self._sums.setdefault(place, [0] * len(SUMS))
                for index, value in enumerate(values):
                    sums[index] += sign * value


def prune(connection: Connection) -> bool:
    """Delete a span of the dimensions' minutes that are too old, and sums that came to nothing; says whether more is left."""
    wanted = (now() - MINUTES_KEPT) // HOUR * HOUR
    statement = "SELECT MIN(at) FROM token_rollups WHERE dimension = :code AND resolution = 0 AND at < :wanted"
    oldest = [connection.scalar(text(statement), {"code": code, "wanted": wanted}) for code in CODES.values() if code]
    known = [at for at in oldest if at is not None]
    until = min(min(known) // HOUR * HOUR + PRUNE_SPAN, wanted) if known else wanted
    write_state(connection, MINUTES_FROM, max(until, read_state(connection, MINUTES_FROM)))
    deletion = "DELETE FROM token_rollups WHERE dimension = :code AND resolution = 0 AND at < :until"
    connection.execute(text(deletion), [{"code": code, "until": until} for code in CODES.values() if code])
    return until < wanted


def expire(connection: Connection, before: int, most: int) -> int:
    """Delete up to `most` of the oldest usage rows from before a moment (ms) that the roll-ups hold; returns how many."""
    statement = (
        "DELETE FROM token_usage WHERE seq IN (SELECT seq FROM token_usage WHERE at < :before AND seq <= :watermark "
        "ORDER BY at LIMIT :most)"
    )
    watermark = read_state(connection, WATERMARK)
    return connection.execute(text(statement), {"before": before, "watermark": watermark, "most": most}).rowcount


