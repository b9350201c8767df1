"""Before anything is recorded: workflows get ids, and executions that children name exist, if need be as placeholders."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select

from pilothouse.sdk import Batch, Bulk, Link, in_list, in_list_sql, insert_ignore, new_id
from pilothouse_executions import counting
from pilothouse_executions.merging import FIELDS, Row, unset_ranks
from pilothouse_executions.models import Execution, Workflow

EXECUTIONS: Table = Execution.__table__
_WORKFLOWS: Table = Workflow.__table__
COLUMNS = tuple(column.name for column in EXECUTIONS.columns)
INSERT = Bulk(EXECUTIONS, COLUMNS)
_HEARD = ("status", "workflow_id", "created_at", "sorted_at", "id")
_UPDATE = Bulk(EXECUTIONS, _HEARD)


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
    wanted: dict[str, list[int]] = {}
    for place, signal in enumerate(batch.signals):
        link = batch.links.get(signal.execution_id)
        if signal.execution_id and (link is None or not link.reported):
            wanted.setdefault(signal.execution_id, []).append(place)
    if not wanted:
        return
    known = load(batch.connection, list(wanted))
    for row in known.values():
        if row["status"] == "lost" or not row["reported"]:
            _hear_of(batch, row, wanted[row["id"]])
    rows = [_placeholder(batch, key, places) for key, places in wanted.items() if key not in known]
    INSERT.insert(batch.connection, (tuple(row[name] for name in COLUMNS) for row in rows))
    for row in rows:
        counting.add(batch.measures, row, name_of(batch, row))
    note_links(batch, [*known.values(), *rows])


def note_links(batch: Batch, rows: Iterable[Row]) -> None:
    """Let children of this batch know what merging has made of their executions: a report may leave out what is known."""
    for row in rows:
        known = Link(row["workflow_id"], name_of(batch, row), row["agent"], row["environment"], row["reported"])
        _note(batch, row["id"], known)


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
        "WITH RECURSIVE up(execution_id, id, parent_id) AS ("  # noqa: S608 - our own names only
        f"SELECT s.execution_id, s.id, s.parent_id FROM {asked} AS a "
        "JOIN steps s ON s.execution_id = a.execution_id AND s.id = a.id UNION "
        "SELECT s.execution_id, s.id, s.parent_id FROM up "
        "JOIN steps s ON s.execution_id = up.execution_id AND s.id = up.parent_id) "
        "SELECT execution_id, id, parent_id FROM up WHERE parent_id IS NOT NULL"
    )
    return {(row[0], row[1]): row[2] for row in connection.exec_driver_sql(statement, bound)}


def _intern_workflows(batch: Batch, names: Iterable[str]) -> None:
    """Give every workflow name its id; new names get a row."""
    wanted = sorted({name for name in names if name} - batch.workflows.keys())
    if not wanted:
        return
    _keep_workflows(batch, wanted)
    missing = [name for name in wanted if name not in batch.workflows]
    if missing:
        rows = [{"id": new_id(), "name": name, "created_at": batch.received_at} for name in missing]
        insert_ignore(batch.connection, _WORKFLOWS, rows)
        _keep_workflows(batch, missing)


def _keep_workflows(batch: Batch, names: Sequence[str]) -> None:
    statement = in_list_sql(batch.connection, _WORKFLOWS, ("name", "id"), "name")
    for name, key in batch.connection.exec_driver_sql(statement, (in_list(batch.connection, names),)):
        batch.workflows[name] = key
        batch.workflow_names[key] = name


def load(connection: Connection, ids: Sequence[str]) -> dict[str, Row]:
    """Return the rows of executions by id."""
    if not ids:
        return {}
    statement = in_list_sql(connection, EXECUTIONS, COLUMNS, "id")
    rows = connection.exec_driver_sql(statement, (in_list(connection, ids),))
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


def name_of(batch: Batch, row: Row) -> str | None:
    """Return the name of a row's workflow."""
    key = row["workflow_id"]
    if key is None:
        return None
    if key not in batch.workflow_names:
        found = batch.connection.scalar(select(_WORKFLOWS.c.name).where(_WORKFLOWS.c.id == key))
        batch.workflow_names[key] = str(found)
    return batch.workflow_names[key]


def _placeholder(batch: Batch, execution_id: str, places: Sequence[int]) -> Row:
    """Return the row of an execution of which only children were heard; the real report fills it in."""
    tokens = (batch.sources[place].token_id for place in places)
    at = _earliest(batch, places)
    empty: Row = dict.fromkeys(COLUMNS)
    return empty | {
        "id": execution_id,
        "workflow_id": _workflow_of(batch, places),
        "status": "running",
        "sorted_at": at,
        "created_at": at,
        "heard_at": batch.received_at,
        "reported": False,
        "levels": unset_ranks(FIELDS),
        "token_id": next((token for token in tokens if token), None),
        "error_count": 0,
        "total_tokens": 0,
    }


def _earliest(batch: Batch, places: Iterable[int], *more: int) -> int:
    """Return when the first of the children was, at the latest now."""
    children = [batch.signals[place] for place in places]
    times = [getattr(child, "started_at", None) or getattr(child, "at", None) for child in children]
    return min([batch.received_at, *more, *(int(at) for at in times if at is not None)])


def _workflow_of(batch: Batch, places: Iterable[int], *more: str | None) -> str | None:
    """Return the workflow that children name; where they do not agree the first name by alphabet, whoever came first."""
    named = {getattr(batch.signals[place], "workflow", None) for place in places} | set(more)
    names = sorted(name for name in named if name)
    return batch.workflows[names[0]] if names else None


def _hear_of(batch: Batch, row: Row, places: Sequence[int]) -> None:
    """Let children tell of an execution that was lost, which is running then, or of which nothing else is known."""
    before, name = dict(row), name_of(batch, row)
    row["status"] = "running" if row["status"] == "lost" else row["status"]
    if not row["reported"]:
        if name is not None:
            batch.workflows[name] = row["workflow_id"]
        row["workflow_id"] = _workflow_of(batch, places, name)
        row["created_at"] = row["sorted_at"] = _earliest(batch, places, row["created_at"])
    if row == before:
        return
    counting.take_back(batch.measures, before, name)
    counting.add(batch.measures, row, name_of(batch, row))
    _UPDATE.update(batch.connection, [tuple(row[name] for name in _HEARD)])
