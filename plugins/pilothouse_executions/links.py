"""Before anything is recorded: workflows get ids, and executions that children name exist, if need be as placeholders."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select, update

from pilothouse.sdk import Batch, Bulk, Link, in_list, in_list_sql, insert_ignore, new_id
from pilothouse_executions import counting
from pilothouse_executions.merging import FIELDS, UNSET, Row, write_levels
from pilothouse_executions.models import Execution, Workflow

EXECUTIONS: Table = Execution.__table__  # type: ignore[assignment]
_WORKFLOWS: Table = Workflow.__table__  # type: ignore[assignment]
COLUMNS = tuple(column.name for column in EXECUTIONS.columns)
INSERT = Bulk(EXECUTIONS, COLUMNS)


def link_executions(batch: Batch) -> None:
    """Intern the workflows of this batch and note its executions as parents of its children.

    A source that does not know the workflow yet leaves it empty, which leaves open what an earlier or later report names.
    """
    _intern_workflows(batch, {signal.workflow for signal in batch.signals})
    for signal in batch.signals:
        workflow_id = batch.workflows.get(signal.workflow)
        known = Link(workflow_id, signal.workflow or None, signal.agent, signal.environment)
        _note(batch, signal.id, known)


def link_children(batch: Batch) -> None:
    """Make sure that every execution that a step, error or usage names exists, if need be as a placeholder."""
    named = {s.workflow for s in batch.signals if getattr(s, "workflow", None)}
    _intern_workflows(batch, named)
    children = [s for s in batch.signals if s.execution_id and s.execution_id not in batch.links]
    wanted = {signal.execution_id: signal for signal in reversed(children)}
    if not wanted:
        return
    for row in load(batch.connection, list(wanted)).values():
        _note(batch, row["id"], Link(row["workflow_id"], name_of(batch, row), row["agent"], row["environment"]))
        if row["status"] == "lost":
            _revive(batch, row)
    missing = [signal for execution_id, signal in wanted.items() if execution_id not in batch.links]
    rows = [_placeholder(batch, signal) for signal in missing]
    INSERT.insert(batch.connection, (tuple(row[name] for name in COLUMNS) for row in rows))
    for row in rows:
        counting.add(batch.measures, row, name_of(batch, row))
        _note(batch, row["id"], Link(row["workflow_id"], name_of(batch, row), row["agent"], None))


def note_links(batch: Batch, rows: Iterable[Row]) -> None:
    """Let children of this batch know what merging has made of their executions: a report may leave out what is known."""
    for row in rows:
        _note(batch, row["id"], Link(row["workflow_id"], name_of(batch, row), row["agent"], row["environment"]))


def _note(batch: Batch, execution_id: str, link: Link) -> None:
    link.parents = functools.partial(parents_of, batch.connection)
    batch.links[execution_id] = link


def parents_of(connection: Connection, steps: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the parent of each of the steps, given with their executions, and of every step above them as far as known."""
    pairs = sorted(set(steps))
    if connection.dialect.name == "sqlite":
        asked = "(SELECT json_extract(value, '$[0]') AS execution_id, json_extract(value, '$[1]') AS id FROM json_each(?))"
        bound: tuple[Any, ...] = (msgspec.json.encode(pairs).decode(),)
    else:
        asked = "(SELECT * FROM unnest(%s::text[], %s::text[]) AS listed(execution_id, id))"
        bound = ([execution_id for execution_id, _ in pairs], [step for _, step in pairs])
    statement = (
        "WITH RECURSIVE up(execution_id, id, parent_id) AS ("
        f"SELECT s.execution_id, s.id, s.parent_id FROM {asked} AS a "
        "JOIN steps s ON s.execution_id = a.execution_id AND s.id = a.id UNION "
        "SELECT s.execution_id, s.id, s.parent_id FROM up "
        "JOIN steps s ON s.execution_id = up.execution_id AND s.id = up.parent_id) "
        "SELECT execution_id, id, parent_id FROM up WHERE parent_id IS NOT NULL"  # noqa: S608 - our own names only
    )
    return {(row[0], row[1]): row[2] for row in connection.exec_driver_sql(statement, bound)}


def _intern_workflows(batch: Batch, names: Iterable[str]) -> None:
    """Give every workflow name its id; new names get a row."""
    wanted = sorted({name for name in names if name} - batch.workflows.keys())
    if not wanted:
        return
    batch.workflows.update(_workflow_ids(batch.connection, wanted))
    missing = [name for name in wanted if name not in batch.workflows]
    if missing:
        rows = [{"id": new_id(), "name": name, "created_at": batch.received_at} for name in missing]
        insert_ignore(batch.connection, _WORKFLOWS, rows)
        batch.workflows.update(_workflow_ids(batch.connection, missing))


def _workflow_ids(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    statement = in_list_sql(connection, _WORKFLOWS, ("name", "id"), "name")
    rows = connection.exec_driver_sql(statement, (in_list(connection, names),))
    return {row[0]: row[1] for row in rows}


def load(connection: Connection, ids: Sequence[str]) -> dict[str, Row]:
    """Return the rows of executions by id."""
    if not ids:
        return {}
    statement = in_list_sql(connection, EXECUTIONS, COLUMNS, "id")
    rows = connection.exec_driver_sql(statement, (in_list(connection, ids),))
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


def name_of(batch: Batch, row: Row) -> str | None:
    """Return the name of a row's workflow."""
    if row["workflow_id"] is None:
        return None
    for name, key in batch.workflows.items():
        if key == row["workflow_id"]:
            return name
    name = batch.connection.scalar(select(_WORKFLOWS.c.name).where(_WORKFLOWS.c.id == row["workflow_id"]))
    batch.workflows[str(name)] = row["workflow_id"]
    return str(name)


def _placeholder(batch: Batch, signal: Any) -> Row:
    """Return the row of an execution of which only a child was heard; the real report fills it in."""
    at = min(getattr(signal, "started_at", None) or getattr(signal, "at", None) or batch.received_at, batch.received_at)
    workflow = getattr(signal, "workflow", None)
    empty: Row = dict.fromkeys(COLUMNS)
    return empty | {
        "id": signal.execution_id,
        "workflow_id": batch.workflows[workflow] if workflow else None,
        "status": "running",
        "sorted_at": at,
        "created_at": at,
        "heard_at": batch.received_at,
        "reported": False,
        "levels": write_levels([UNSET] * len(FIELDS)),
        "error_count": 0,
        "total_tokens": 0,
    }


def _revive(batch: Batch, row: Row) -> None:
    """Take back that an execution was lost: it was heard of again."""
    name = name_of(batch, row)
    counting.take_back(batch.measures, row, name)
    row["status"] = "running"
    counting.add(batch.measures, row, name)
    batch.connection.execute(update(EXECUTIONS).where(EXECUTIONS.c.id == row["id"]).values(status="running"))
