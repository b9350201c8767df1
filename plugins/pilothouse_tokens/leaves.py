"""Counting leaves only: a sum counts while its parts are unknown, and no longer once one of them is reported.

Frameworks repeat the usage of their model calls on the agent, the chain or the workflow above them. Two rules decide, and
both give the same result in any order of arrival: a row does not count where usage of its execution was found on a step
anywhere below its own; a provisional row does not count where its execution has a row that is not provisional. A call
without tokens hides nothing: what is above it may be all that is known.

The steps that have usage below them are kept (`token_sums`), so that a late sum, a late leaf and a late step in between are
each one lookup: whatever joins the three adds the steps above it. A step enters the table once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, update

from pilothouse.sdk import Batch, Bulk, in_list, in_list_sql
from pilothouse_executions.events import UsageCorrected, UsageDelta
from pilothouse_tokens import counting
from pilothouse_tokens.models import TokenSum, TokenUsageRow

Row = dict[str, Any]
Place = tuple[str, str]  # an execution and one of its steps

_USAGE: Table = TokenUsageRow.__table__
_SUMS: Table = TokenSum.__table__
_ALL = tuple(column.name for column in _USAGE.columns)
_INSERT = Bulk(_SUMS, ("execution_id", "step_id"), ignore_conflicts=True)


def settle(batch: Batch, fresh: Sequence[Row]) -> None:
    """Decide which of the fresh rows count, and take back stored ones that they replace."""
    linked = [row for row in fresh if row["execution_id"]]
    if not linked:
        return
    telling = [row for row in linked if has_tokens(row)]
    sums = _mark_above(batch, telling, [row["step_id"] for row in linked if row["step_id"]])
    leaves = {row["execution_id"] for row in telling if not row["provisional"]} | _executions_with_leaves(batch, linked)
    for row in linked:
        below = (row["execution_id"], row["step_id"]) in sums
        row["counted"] = not below and not (row["provisional"] and row["execution_id"] in leaves)
    _uncount(batch, _stored_sums(batch, telling))


def settle_late(batch: Batch, rows: Sequence[Row]) -> None:
    """Take back what stored rows replace that have got their tokens only now."""
    _mark_above(batch, rows, [])
    _uncount(batch, _stored_sums(batch, rows))


def follow_steps(batch: Batch) -> None:
    """Take back sums above steps that have usage below them: until now nobody knew that they belong together."""
    steps = {signal.id: signal for signal in batch.signals if signal.parent_id}
    known = _marked(batch, steps)
    joining = [
        {"execution_id": execution_id, "step_id": step, "parent_id": steps[step].parent_id}
        for execution_id, step in known
        if steps[step].execution_id == execution_id
    ]
    _mark_above(batch, joining, [])


def has_tokens(row: Mapping[str, Any]) -> bool:
    """Say whether a row tells of tokens."""
    return bool(row["prompt_tokens"] or row["completion_tokens"])


def _mark_above(batch: Batch, rows: Sequence[Row], asked: Iterable[str]) -> set[Place]:
    """Mark every step above the rows' steps and stop counting what was found there; returns the marks of these and of
    the steps that were asked for.
    """
    above = _places_above(batch, [row for row in rows if row["step_id"] or row["parent_id"]])
    marked = _marked(batch, {step for _, step in above} | set(asked))
    new = above - marked
    if new:
        _INSERT.insert(batch.connection, sorted(new))
        found = _find(batch, "step_id", {step for _, step in new}, "AND counted")
        _uncount(batch, [row for row in found if (row["execution_id"], row["step_id"]) in new])
    return marked | new


def _places_above(batch: Batch, rows: Sequence[Row]) -> set[Place]:
    """Return the steps above the rows' steps, as far as steps and rows tell. A circle ends where it began."""
    places = {(row["execution_id"], step) for row in rows for step in (row["step_id"], row["parent_id"]) if step}
    ask = next((link.parents for row in rows if (link := batch.links.get(row["execution_id"])) is not None), None)
    parents = ask(places) if ask is not None else {}
    above: set[Place] = set()
    for row in rows:
        key = row["execution_id"]
        step = row["parent_id"] or parents.get((key, row["step_id"]))
        while step is not None and (key, step) not in above and step != row["step_id"]:
            above.add((key, step))
            step = parents.get((key, step))
    return above


def _marked(batch: Batch, steps: Iterable[str]) -> set[Place]:
    """Return which of the steps have usage below them, each with its execution."""
    ids = sorted(set(steps))
    if not ids:
        return set()
    statement = in_list_sql(batch.connection, _SUMS, ("execution_id", "step_id"), "step_id")
    return {(row[0], row[1]) for row in batch.connection.exec_driver_sql(statement, (in_list(batch.connection, ids),))}


def _stored_sums(batch: Batch, rows: Sequence[Row]) -> list[Row]:
    """Return the provisional rows that count until now, of executions that get a leaf."""
    executions = {row["execution_id"] for row in rows if not row["provisional"]}
    return _find(batch, "execution_id", executions, "AND provisional AND counted")


def _executions_with_leaves(batch: Batch, rows: Sequence[Row]) -> set[str]:
    executions = {row["execution_id"] for row in rows if row["provisional"]}
    told = "AND NOT provisional AND prompt_tokens + completion_tokens > 0"
    return {row["execution_id"] for row in _find(batch, "execution_id", executions, told)}


def _find(batch: Batch, column: str, values: set[str], condition: str) -> list[Row]:
    if not values:
        return []
    statement = f"{in_list_sql(batch.connection, _USAGE, _ALL, column)} {condition}"
    rows = batch.connection.exec_driver_sql(statement, (in_list(batch.connection, sorted(values)),))
    return [dict(zip(_ALL, row, strict=True)) for row in rows]


def _uncount(batch: Batch, rows: Sequence[Row]) -> None:
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
