"""Which errors: the filters of lists, as conditions for the database and as a test of one row, and the order of lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, false, or_, select, tuple_

from pilothouse.sdk import db
from pilothouse_errors.models import ErrorRecord, ErrorWorkflow

Place = tuple[int, int]  # where an error stands in the order of lists: `created_at` (ms) and `seq`


@dataclass(frozen=True, slots=True)
class Filters:
    """Which errors; times in ms, `since` inclusive, `until` exclusive. `q` is a part of type or message."""

    severity: tuple[str, ...] = ()
    resolved: bool | None = None
    workflow: str | None = None
    group: str | None = None
    q: str | None = None
    since: int | None = None
    until: int | None = None


def newest_first(statement: Select[*tuple[Any, ...]], after: Place | None = None) -> Select[*tuple[Any, ...]]:
    """Order a statement as lists are, after the cursor."""
    if after is not None:
        statement = statement.where(tuple_(ErrorRecord.created_at, ErrorRecord.seq) < after)
    return statement.order_by(ErrorRecord.created_at.desc(), ErrorRecord.seq.desc())


def conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """Return the filters but `q`, each served by an index."""
    found: list[ColumnElement[bool]] = []
    if len(filters.severity) == 1:
        found.append(ErrorRecord.severity == filters.severity[0])
    elif filters.severity:
        found.append(ErrorRecord.severity.in_(filters.severity))
    if filters.resolved is not None:
        found.append(ErrorRecord.resolved == filters.resolved)
    if filters.workflow is not None:
        found.append(_in_workflow(filters.workflow))
    if filters.group is not None:
        found.append(ErrorRecord.group_id == filters.group)
    if filters.since is not None:
        found.append(ErrorRecord.created_at >= filters.since)
    if filters.until is not None:
        found.append(ErrorRecord.created_at < filters.until)
    return found


def workflow_id(name_or_id: str) -> str | None:
    """Return a workflow's id by its name or its id; None for one that had no errors."""
    statement = select(ErrorWorkflow.id).where(or_(ErrorWorkflow.name == name_or_id, ErrorWorkflow.id == name_or_id))
    return db.session().scalar(statement.limit(1))


def _in_workflow(name_or_id: str) -> ColumnElement[bool]:
    found = workflow_id(name_or_id)
    return false() if found is None else ErrorRecord.workflow_id == found
