"""Merging reports: early, late, twice and out of order, with the same result.

Each report has a rank: unset, queued, running, then the final ones by `finished_at` and, at the same moment, by the gravity of
their status. Each field keeps the value of the report with the highest rank that named it, and of two values of one rank
the greater one; objects (`attributes`) do so key by key. Every rule is a maximum, so the order of arrival does not matter.
What a person edits outranks every report, and a later edit an earlier one; a final status is never undone even so.

A row keeps the ranks of its fields as text (see `Ranks`); None says that every value came with the row's present status,
which is so for most rows for all their life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

FIELDS = (
    "workflow_id", "trigger", "agent", "user", "session", "environment", "release", "parent_id", "started_at",
    "finished_at", "attributes", "input", "output",
)  # fmt: skip
STEP_FIELDS = ("parent_id", "name", "kind", "started_at", "finished_at", "attributes", "input", "output")

UNSET, QUEUED, RUNNING = 0, 1, 2
LEVELS: Mapping[str, int] = {"queued": QUEUED, "running": RUNNING, "lost": RUNNING}
GRAVITY: Mapping[str, int] = {"succeeded": 0, "cancelled": 1, "timed_out": 2, "failed": 3}
AS_STATUS = 3  # in the text of ranks: this field came with the report that gave the final status
FINAL_BASE = 16  # ranks of final reports: from here on, four a millisecond
IMPLIED, TIMELESS = -2, -1  # before any `finished_at`: a success that nobody stated, and a final report without a time
EDITED = 1 << 52  # ranks of edits: their moment in ms, above every final report

Row = dict[str, Any]
Object = dict[str, msgspec.Raw]


@dataclass(slots=True)
class Ranks:
    """The ranks of what a row holds: its status, its fields in their order, and those keys of its object that have a
    rank of their own.

    As text: one digit for the status and each field where that says all (3 is "as the final status"), else a JSON list.
    """

    status: int
    fields: list[int]
    keys: dict[str, int] = field(default_factory=dict)


def rank_of(status: str, finished_at: int | None, *, implied: bool = False) -> int:
    """Return the rank of a report; `implied` where it does not state its final status itself."""
    if status in LEVELS:
        return LEVELS[status]
    moment = IMPLIED if implied else TIMELESS if finished_at is None else finished_at
    return FINAL_BASE + 4 * (moment - IMPLIED) + GRAVITY[status]


def edit_rank(at: int) -> int:
    """Return the rank of what a person changed at a moment (ms)."""
    return EDITED + at


def read_ranks(row: Mapping[str, Any], fields: Sequence[str]) -> Ranks:
    """Return the ranks of a row."""
    text = row["levels"]
    stands = rank_of(row["status"], row["finished_at"])
    if text is None:
        return Ranks(stands, [UNSET if row[name] is None else stands for name in fields])
    if text.startswith("["):
        status, values, keys = msgspec.json.decode(text, type=tuple[int, list[int], dict[str, int]])
        return Ranks(status, values, keys)
    status, *values = (stands if digit == str(AS_STATUS) else int(digit) for digit in text)
    return Ranks(status, values)


def write_ranks(ranks: Ranks, row: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    """Return the text of a row's ranks, None where it need not be kept."""
    stands = rank_of(row["status"], row["finished_at"])
    values = [ranks.status, *ranks.fields]
    if ranks.keys or any(rank > RUNNING and rank != stands for rank in values):
        return msgspec.json.encode((ranks.status, ranks.fields, ranks.keys)).decode()
    implied = [stands, *(UNSET if row[name] is None else stands for name in fields)]
    if values == implied:
        return None
    return "".join(str(AS_STATUS if rank > RUNNING else rank) for rank in values)


def implied_ranks(row: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    """Return the ranks of a new row whose final status nobody stated."""
    rank = rank_of(row["status"], row["finished_at"], implied=True)
    return write_ranks(Ranks(rank, [UNSET if row[name] is None else rank for name in fields]), row, fields)


def unset_ranks(fields: Sequence[str]) -> str:
    """Return the ranks of a row that was made before any report of it."""
    return "0" * (1 + len(fields))


def merge(
    row: Row, report: Mapping[str, Any], fields: Sequence[str], *, implied: bool = False, edited_at: int | None = None
) -> bool:
    """Merge a report into a row and its ranks into the row's; says whether any value changed.

    `edited_at` is set for what a person edits: it replaces what stands there.
    """
    ranks = read_ranks(row, fields)
    rank = rank_of(report["status"], report["finished_at"], implied=implied)
    value_rank = rank if edited_at is None else edit_rank(edited_at)
    changed = False
    for place, name in enumerate(fields):
        new, old = report[name], row[name]
        if new is None or (edited_at is not None and new == old):
            continue
        if name == "attributes" and old is not None:
            new = _unite(old, new, ranks, place, value_rank)
        elif old is not None and (value_rank, new) < (ranks.fields[place], old):
            continue
        changed = changed or new != old
        row[name] = new
        ranks.fields[place] = max(value_rank, ranks.fields[place])
    status = _status(row["status"], report["status"], wins=rank > ranks.status)
    changed = changed or status != row["status"]
    row["status"] = status
    ranks.status = max(rank, ranks.status)
    row["levels"] = write_ranks(ranks, row, fields)
    return changed


def _status(stands: str, reported: str, *, wins: bool) -> str:
    if stands != "lost":
        return reported if wins else stands
    return "running" if reported == "queued" else reported  # it was running before it fell silent


def _unite(old: str, new: str, ranks: Ranks, place: int, rank: int) -> str:
    """Unite two JSON objects key by key by the rule for values, and keep the ranks of the keys."""
    stands = ranks.fields[place]
    if old == new and not ranks.keys:
        return old
    before, after = (msgspec.json.decode(text, type=Object) for text in (old, new))
    known = {key: ranks.keys.get(key, stands) for key in before}
    united = dict(before)
    for key, value in after.items():
        have = before.get(key)
        if have is None or (rank, bytes(value)) > (known[key], bytes(have)):
            united[key], known[key] = value, rank
        elif rank > known[key]:
            known[key] = rank
    highest = max(rank, stands)
    ranks.keys = {key: held for key, held in known.items() if held != highest}
    return old if united == before else msgspec.json.encode(united).decode()
