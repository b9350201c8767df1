"""The same call reported again by another span, with more tokens: the row of the first report is completed.

Two instrumentations see one call, and of a stream that was left the one knows the input only, the other also what came of
the output. Only what was found on steps is completed, by what was found on steps: a row that a program or the gateway
reported by itself stays as it is, and so does one that is sent again under its own id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Table, bindparam, update

from pilothouse.sdk import Batch, in_list, in_list_sql
from pilothouse_executions.events import UsageCorrected, UsageDelta
from pilothouse_tokens import counting, leaves
from pilothouse_tokens.models import TokenUsageRow

Row = dict[str, Any]

USAGE: Table = TokenUsageRow.__table__
_ALL = tuple(column.name for column in USAGE.columns)
_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_COMPLETED = (
    *_TOKENS, "cache_write_1h_tokens", "model", "request_model", "provider", "service_tier", "response_id", "split_known",
    "usage_source", "cost_nano", "cost_reported", "price_id",
)  # fmt: skip


def complete(batch: Batch, late: Mapping[int, Row]) -> dict[int, Row]:
    """Complete the stored rows of calls that came before; returns the completed rows by the places of `late`."""
    told = {place: row for place, row in late.items() if row["step_id"] and leaves.has_tokens(row)}
    if not told:
        return {}
    stored = _load(batch, "id", (row["id"] for row in told.values()))
    answers = _load(batch, "response_id", (row["response_id"] for row in told.values()))
    completed: dict[int, Row] = {}
    for place, row in told.items():
        before = stored.get(row["id"]) or answers.get(row["response_id"])
        if before is None or not _says_more(row, before):
            continue
        after = {**before, **{name: row[name] for name in _COMPLETED}}
        if after["response_id"] is None or after["response_id"] in answers:
            after["response_id"] = before["response_id"]
        _replace(batch, before, after)
        completed[place] = after
        stored[before["id"]] = answers[after["response_id"]] = after
    leaves.settle_late(batch, [row for row in completed.values() if row["execution_id"]])
    return completed


def _says_more(row: Row, before: Row) -> bool:
    """Say whether a report completes a row. Of one id the first report stands, unless it told of no tokens at all."""
    if before["step_id"] is None or (row["id"] == before["id"] and leaves.has_tokens(before)):
        return False
    return bool(row["prompt_tokens"] + row["completion_tokens"] > before["prompt_tokens"] + before["completion_tokens"])


def _load(batch: Batch, column: str, values: Iterable[str | None]) -> dict[str | None, Row]:
    wanted = sorted({value for value in values if value is not None})
    if not wanted:
        return {}
    statement = in_list_sql(batch.connection, USAGE, _ALL, column)
    rows = batch.connection.exec_driver_sql(statement, (in_list(batch.connection, wanted),))
    found = [dict(zip(_ALL, row, strict=True)) for row in rows]
    return {row[column]: row for row in found}


def _replace(batch: Batch, before: Row, after: Row) -> None:
    statement = update(USAGE).where(USAGE.c.seq == bindparam("key"))
    values: dict[str, Any] = {name: bindparam(f"v_{name}") for name in _COMPLETED}
    batch.connection.execute(
        statement.values(values), {"key": before["seq"], **{f"v_{name}": after[name] for name in _COMPLETED}}
    )
    if not before["counted"]:
        return
    counting.take_back(batch.measures, before)
    counting.add(batch.measures, after)
    if before["execution_id"]:
        batch.publish(UsageCorrected(deltas=(_difference(before, after),)))


def _difference(before: Row, after: Row) -> UsageDelta:
    return UsageDelta(
        execution_id=before["execution_id"],
        cost_nano=(after["cost_nano"] or 0) - (before["cost_nano"] or 0),
        unpriced_records=int(after["cost_nano"] is None) - int(before["cost_nano"] is None),
        **{name: after[name] - before[name] for name in _TOKENS},
    )
