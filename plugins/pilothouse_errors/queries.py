"""Reading errors: filters, keyset pages, search, one error with its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, false, or_, select, tuple_

from pilothouse.sdk import NotFound, db
from pilothouse_errors.models import ErrorRecord, ErrorWorkflow

RECENT = 50  # newest errors of a group among which the one with the most context is recommended
FIRST_LOOK, LONGEST_LOOK = 250, 4_000  # errors that one step of a search reads: few at first, most searches find many

LISTED = (
    ErrorRecord.seq, ErrorRecord.id, ErrorRecord.execution_id, ErrorRecord.workflow_id, ErrorRecord.group_id,
    ErrorRecord.error_type, ErrorRecord.message, ErrorRecord.stack_trace, ErrorRecord.severity, ErrorRecord.resolved,
    ErrorRecord.resolved_at, ErrorRecord.resolution_notes, ErrorRecord.created_at,
)  # fmt: skip
DETAILED = (
    *LISTED, ErrorRecord.frames, ErrorRecord.attributes, ErrorRecord.handled, ErrorRecord.release, ErrorRecord.environment,
    ErrorRecord.user, ErrorRecord.severity_given,
)  # fmt: skip

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


def page(filters: Filters, limit: int, after: Place | None = None) -> list[Row[Any]]:
    """Return up to `limit + 1` errors, newest first, after the cursor."""
    if filters.q:
        return _found(_search(filters, filters.q, limit + 1, after))
    statement = _newest_first(select(*LISTED).where(*_conditions(filters)), after)
    return list(db.session().execute(statement.limit(limit + 1)))


def get(error_id: str) -> Any:
    """Return one error with all that was sent. Raises NotFound."""
    row = db.session().execute(select(*DETAILED).where(ErrorRecord.id == error_id)).first()
    if row is None:
        raise NotFound(f"There is no error {error_id}.")
    return row


def workflow_names() -> dict[str, str]:
    """Return the names of all workflows that had errors, by id."""
    return {row.id: row.name for row in db.session().execute(select(ErrorWorkflow.id, ErrorWorkflow.name))}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Ids of the errors of one group to go to from one of them; None where there is none."""

    first: str | None
    latest: str | None
    recommended: str | None
    previous: str | None
    next: str | None


def neighbours(group_id: str, error_id: str | None = None) -> Neighbours:
    """Return where one can go inside a group; previous and next (older, newer) need an error to start from."""
    own = select(ErrorRecord.id).where(ErrorRecord.group_id == group_id)
    place = tuple_(ErrorRecord.created_at, ErrorRecord.seq)
    oldest, newest = (ErrorRecord.created_at, ErrorRecord.seq), (ErrorRecord.created_at.desc(), ErrorRecord.seq.desc())
    session = db.session()
    here = session.execute(
        select(ErrorRecord.created_at, ErrorRecord.seq).where(ErrorRecord.id == error_id, ErrorRecord.group_id == group_id)
    ).first()
    return Neighbours(
        first=session.scalar(own.order_by(*oldest).limit(1)),
        latest=session.scalar(own.order_by(*newest).limit(1)),
        recommended=_recommended(group_id),
        previous=session.scalar(own.where(place < tuple(here)).order_by(*newest).limit(1)) if here else None,
        next=session.scalar(own.where(place > tuple(here)).order_by(*oldest).limit(1)) if here else None,
    )


def _recommended(group_id: str) -> str | None:
    """Return the newest of the recent errors that tell most: frames, execution, person, attributes, release."""
    told = (ErrorRecord.frames, ErrorRecord.execution_id, ErrorRecord.user, ErrorRecord.attributes, ErrorRecord.release)
    columns = [column.is_not(None).label(f"has{place}") for place, column in enumerate(told)]
    statement = _newest_first(select(ErrorRecord.id, *columns).where(ErrorRecord.group_id == group_id))
    rows = db.session().execute(statement.limit(RECENT)).all()
    return max(rows, key=lambda row: sum(bool(value) for value in row[1:])).id if rows else None


def _newest_first(statement: Select[*tuple[Any, ...]], after: Place | None = None) -> Select[*tuple[Any, ...]]:
    if after is not None:
        statement = statement.where(tuple_(ErrorRecord.created_at, ErrorRecord.seq) < after)
    return statement.order_by(ErrorRecord.created_at.desc(), ErrorRecord.seq.desc())


def _search(filters: Filters, text: str, wanted: int, after: Place | None) -> list[int]:
    """Return the `seq` of up to `wanted` errors whose type or message holds the text, newest first.

    Reads on in steps along the index of the filters, until there are enough. Compared is here and not in the database,
    since SQLite and PostgreSQL disagree on what upper and lower case are beyond ASCII.
    """
    needle = text.lower()
    found: list[int] = []
    size = FIRST_LOOK
    columns = (ErrorRecord.seq, ErrorRecord.created_at, ErrorRecord.error_type, ErrorRecord.message)
    while True:
        statement = _newest_first(select(*columns).where(*_conditions(filters)), after).limit(size)
        rows = db.session().execute(statement).all()
        found += [row.seq for row in rows if needle in row.error_type.lower() or needle in row.message.lower()]
        if len(found) >= wanted or len(rows) < size:
            return found[:wanted]
        after = (rows[-1].created_at, rows[-1].seq)
        size = min(size * 2, LONGEST_LOOK)


def _found(seqs: list[int]) -> list[Row[Any]]:
    statement = _newest_first(select(*LISTED).where(ErrorRecord.seq.in_(seqs)))
    return list(db.session().execute(statement)) if seqs else []


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if len(filters.severity) == 1:
        conditions.append(ErrorRecord.severity == filters.severity[0])
    elif filters.severity:
        conditions.append(ErrorRecord.severity.in_(filters.severity))
    if filters.resolved is not None:
        conditions.append(ErrorRecord.resolved == filters.resolved)
    if filters.workflow is not None:
        conditions.append(_in_workflow(filters.workflow))
    if filters.group is not None:
        conditions.append(ErrorRecord.group_id == filters.group)
    if filters.since is not None:
        conditions.append(ErrorRecord.created_at >= filters.since)
    if filters.until is not None:
        conditions.append(ErrorRecord.created_at < filters.until)
    return conditions


def _in_workflow(name_or_id: str) -> ColumnElement[bool]:
    """Match a workflow by its name or its id; an unknown one matches nothing."""
    statement = select(ErrorWorkflow.id).where(or_(ErrorWorkflow.name == name_or_id, ErrorWorkflow.id == name_or_id))
    workflow_id = db.session().scalar(statement.limit(1))
    return false() if workflow_id is None else ErrorRecord.workflow_id == workflow_id
