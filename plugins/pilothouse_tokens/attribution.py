"""Whose usage it is: workflow and agent as the usage names them, else those of its execution, also where that comes later."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, bindparam, update

from pilothouse.sdk import Batch, Link, in_list, in_list_sql
from pilothouse_tokens import counting
from pilothouse_tokens.models import TokenUsageRow

WORKFLOW, AGENT = 1, 2  # bits of `inherits`

_USAGE: Table = TokenUsageRow.__table__
_ALL = tuple(column.name for column in _USAGE.columns)


def flags(execution_id: str | None, workflow: str | None, agent: str | None) -> int:
    """Return what of a usage follows its execution: nothing where it has none or names its own."""
    if execution_id is None:
        return 0
    return (0 if workflow else WORKFLOW) | (0 if agent else AGENT)


def follow(batch: Batch) -> None:
    """Give the usage of the reported executions their workflow and agent, in the rows and in the measures."""
    ids = sorted({signal.id for signal in batch.signals})
    statement = in_list_sql(batch.connection, _USAGE, _ALL, "execution_id") + " AND inherits > 0"
    rows = batch.connection.exec_driver_sql(statement, (in_list(batch.connection, ids),))
    found = [dict(zip(_ALL, row, strict=True)) for row in rows]
    changed = [(row, after) for row in found if (after := _linked(row, batch.links[row["execution_id"]])) != row]
    if not changed:
        return
    for before, after in changed:
        if before["counted"]:
            counting.take_back(batch.measures, before)
            counting.add(batch.measures, after)
    columns = ("workflow_id", "workflow", "agent")
    update_row = update(_USAGE).where(_USAGE.c.seq == bindparam("k")).values({c: bindparam(f"v_{c}") for c in columns})
    batch.connection.execute(update_row, [{"k": row["seq"], **{f"v_{c}": row[c] for c in columns}} for _, row in changed])


def _linked(row: dict[str, Any], link: Link) -> dict[str, Any]:
    after = dict(row)
    if row["inherits"] & WORKFLOW:
        after |= {"workflow_id": link.workflow_id, "workflow": link.workflow}
    if row["inherits"] & AGENT:
        after["agent"] = link.agent or None
    return after
