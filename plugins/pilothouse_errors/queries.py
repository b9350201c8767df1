"""Reading errors: keyset pages, one error with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, tuple_

from pilothouse.sdk import NotFound, db
from pilothouse_errors import search_queries
from pilothouse_errors.models import ErrorRecord, ErrorWorkflow
from pilothouse_errors.selection import Filters, Place, conditions, newest_first

MOST_IDS = 500  # errors that one statement reads by id
RECENT = 50  # newest errors of a group among which the one with the most context is recommended

LISTED = (
    ErrorRecord.seq, ErrorRecord.id, ErrorRecord.execution_id, ErrorRecord.workflow_id, ErrorRecord.group_id,
    ErrorRecord.error_type, ErrorRecord.message, ErrorRecord.stack_trace, ErrorRecord.severity, ErrorRecord.resolved,
    ErrorRecord.resolved_at, ErrorRecord.resolution_notes, ErrorRecord.created_at,
)  # fmt: skip
DETAILED = (
    *LISTED, ErrorRecord.frames, ErrorRecord.attributes, ErrorRecord.handled, ErrorRecord.release, ErrorRecord.environment,
    ErrorRecord.user, ErrorRecord.severity_given,
)  # fmt: skip

def page(filters: Filters, limit: int, after: Place | None = None) -> list[Row[Any]]:
    """Return up to `limit + 1` errors, newest first, after the cursor."""
    if filters.q:
        return _found(search_queries.search(filters, filters.q, limit + 1, after))
    statement = newest_first(select(*LISTED).where(*conditions(filters)), after)
    return list(db.session().execute(statement.limit(limit + 1)))


def several(ids: Sequence[str]) -> list[Row[Any]]:
    """Return errors by their ids."""
    found: list[Row[Any]] = []
    for start in range(0, len(ids), MOST_IDS):
        found += db.session().execute(select(*LISTED).where(ErrorRecord.id.in_(ids[start : start + MOST_IDS])))
    return found


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
    statement = newest_first(select(ErrorRecord.id, *columns).where(ErrorRecord.group_id == group_id))
    rows = db.session().execute(statement.limit(RECENT)).all()
    return max(rows, key=lambda row: sum(bool(value) for value in row[1:])).id if rows else None


def _found(seqs: list[int]) -> list[Row[Any]]:
    statement = newest_first(select(*LISTED).where(ErrorRecord.seq.in_(seqs)))
    return list(db.session().execute(statement)) if seqs else []
