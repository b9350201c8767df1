"""Counting leaves only: a sum counts while its parts are unknown, and no longer once one of them is reported.

Frameworks repeat the usage of their model calls on the agent, the chain or the workflow above them (dialects.md, rules of
the normaliser). Two rules decide, and both give the same result in any order of arrival: a row does not count where
another row of its execution was found on a step right below its own; a provisional row does not count where its execution
has a row that is not provisional.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, update

from pilothouse.sdk import Batch, in_list, in_list_sql
from pilothouse_executions.events import UsageCorrected, UsageDelta
from pilothouse_tokens import counting
from pilothouse_tokens.models import TokenUsageRow

Row = dict[str, Any]

_USAGE: Table = TokenUsageRow.__table__  # type: ignore[assignment]
_ALL = tuple(column.name for column in _USAGE.columns)


def settle(batch: Batch, fresh: Sequence[Row]) -> None:
    """Decide which of the fresh rows count, and take back stored ones that they replace."""
    with_steps = [row for row in fresh if row["execution_id"] and (row["step_id"] or row["parent_id"])]
    executions = {row["execution_id"] for row in fresh if row["execution_id"]}
    if not executions:
        return
    replaced = _stored_sums(batch, fresh) + _stored_parents(batch, with_steps)
    children = _children(batch, with_steps)
    leaves = {row["execution_id"] for row in fresh if not row["provisional"]} | _executions_with_leaves(batch, fresh)
    for row in fresh:
        if row["execution_id"] is None:
            continue
        above = (row["execution_id"], row["step_id"]) in children
        row["counted"] = not above and not (row["provisional"] and row["execution_id"] in leaves)
    _uncount(batch, {row["seq"]: row for row in replaced}.values())


def _stored_sums(batch: Batch, fresh: Sequence[Row]) -> list[Row]:
    """Return the provisional rows that count until now, of executions that get a leaf."""
    executions = {row["execution_id"] for row in fresh if row["execution_id"] and not row["provisional"]}
    return _find(batch, "execution_id", executions, "AND provisional AND counted")


def _stored_parents(batch: Batch, fresh: Sequence[Row]) -> list[Row]:
    """Return the rows that count until now and were found on a step right above a fresh one."""
    wanted = {(row["execution_id"], row["parent_id"]) for row in fresh if row["parent_id"]}
    found = _find(batch, "step_id", {step for _, step in wanted}, "AND counted")
    return [row for row in found if (row["execution_id"], row["step_id"]) in wanted]


def _children(batch: Batch, fresh: Sequence[Row]) -> set[tuple[str, str]]:
    """Return the steps, each with its execution, right below which usage is known."""
    steps = {row["step_id"] for row in fresh if row["step_id"]}
    rows = [*_find(batch, "parent_id", steps, ""), *fresh]
    return {(row["execution_id"], row["parent_id"]) for row in rows if row["execution_id"] and row["parent_id"]}


def _executions_with_leaves(batch: Batch, fresh: Sequence[Row]) -> set[str]:
    executions = {row["execution_id"] for row in fresh if row["execution_id"] and row["provisional"]}
    return {row["execution_id"] for row in _find(batch, "execution_id", executions, "AND NOT provisional")}


def _find(batch: Batch, column: str, values: set[str], condition: str) -> list[Row]:
    if not values:
        return []
    statement = f"{in_list_sql(batch.connection, _USAGE, _ALL, column)} {condition}"
    rows = batch.connection.exec_driver_sql(statement, (in_list(batch.connection, sorted(values)),))
    return [dict(zip(_ALL, row, strict=True)) for row in rows]


def _uncount(batch: Batch, rows: Iterable[Row]) -> None:
    rows = list(rows)
    if not rows:
        return
    for row in rows:
        counting.take_back(batch.measures, row)
    statement = update(_USAGE).where(_USAGE.c.seq == bindparam("key")).values(counted=False)
    batch.connection.execute(statement, [{"key": row["seq"]} for row in rows])
    batch.publish(UsageCorrected(deltas=tuple(_taken_back(row) for row in rows if row["execution_id"])))


def _taken_back(row: Mapping[str, Any]) -> UsageDelta:
    return UsageDelta(
        execution_id=row["execution_id"],
        calls=-1,
        prompt_tokens=-row["prompt_tokens"],
        completion_tokens=-row["completion_tokens"],
        cached_tokens=-row["cached_tokens"],
        cache_write_tokens=-row["cache_write_tokens"],
        reasoning_tokens=-row["reasoning_tokens"],
        cost_nano=-(row["cost_nano"] or 0),
        unpriced_records=-int(row["cost_nano"] is None),
    )
