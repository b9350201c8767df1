"""Merging reports: early, late, twice and out of order, with the same result.

Each field keeps the value of the most final report that named it. A report's level is 1 queued, 2 running, 3 final; of
two values of one level the greater one stays, and between two final reports the one with the later `finished_at` wins, then
the graver status. Every rule is a maximum, so the order of arrival does not matter.

A row keeps the levels of its fields as text, one digit a field in the order of the field list; None says that every
value came with the row's present status, which is so for most rows for all their life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

FIELDS = (
    "workflow_id", "trigger", "agent", "user", "session", "environment", "release", "parent_id", "started_at",
    "finished_at", "attributes", "input", "output",
)  # fmt: skip
STEP_FIELDS = ("parent_id", "name", "kind", "started_at", "finished_at", "attributes", "input", "output")

UNSET, QUEUED, RUNNING, FINAL = 0, 1, 2, 3
LEVELS: Mapping[str, int] = {"queued": QUEUED, "running": RUNNING, "lost": RUNNING}
GRAVITY: Mapping[str, int] = {"succeeded": 0, "cancelled": 1, "timed_out": 2, "failed": 3}

Row = dict[str, Any]


def level_of(status: str) -> int:
    """Return how final a reported status is."""
    return LEVELS.get(status, FINAL)


def levels_of(row: Mapping[str, Any], fields: Sequence[str]) -> list[int]:
    """Return the level of each field of a row; 0 where it was never named."""
    if row["levels"] is not None:
        return [int(digit) for digit in row["levels"]]
    level = level_of(row["status"])
    return [UNSET if row[name] is None else level for name in fields]


def write_levels(levels: Sequence[int]) -> str:
    """Write levels for a row."""
    return "".join(str(level) for level in levels)


def merge(row: Row, report: Mapping[str, Any], fields: Sequence[str]) -> bool:
    """Merge a report into a row; says whether anything changed.

    `fields` are the merged ones in the order of the row's `levels`; `status` is decided by itself.
    """
    level = level_of(report["status"])
    stands = level_of(row["status"])
    wins = level > stands or (level == FINAL == stands and _final_key(report) > _final_key(row))
    changed = False
    levels = levels_of(row, fields)
    for place, name in enumerate(fields):
        value = report[name]
        if value is None:
            continue
        if name == "attributes" and row[name] is not None:
            value = _merge_objects(row[name], value, newer=wins or level > levels[place])
        elif not _replaces(row[name], value, (levels[place], level), wins=wins):
            continue
        if row[name] != value:
            row[name], changed = value, True
        levels[place] = max(level, levels[place])
    row["levels"] = write_levels(levels)
    status = report["status"] if wins or row["status"] == "lost" else row["status"]
    status = "running" if row["status"] == "lost" and status == "queued" else status
    changed = changed or status != row["status"]
    row["status"] = status
    return changed


def _replaces(old: Any, new: Any, levels: tuple[int, int], *, wins: bool) -> bool:
    before, level = levels
    if old is None or level > before:
        return True
    if level < before:
        return False
    return wins or (level < FINAL and bool(new > old))


def _final_key(report: Mapping[str, Any]) -> tuple[int, int]:
    finished_at = report["finished_at"]
    return -1 if finished_at is None else finished_at, GRAVITY.get(report["status"], -1)


def _merge_objects(old: str, new: str, *, newer: bool) -> str:
    """Unite two JSON objects key by key; the newer report's values stand."""
    if old == new:
        return old
    before, after = msgspec.json.decode(old), msgspec.json.decode(new)
    united = {**before, **after} if newer else {**after, **before}
    return old if united == before else msgspec.json.encode(united).decode()
