"""Marking charts with what other plugins tell, and deleting what is old."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table, delete, select

from pilothouse.sdk import Event, db, insert_ignore
from pilothouse_telemetry.models import ChartMark, EventUserWeek, TelemetryEvent

LONGEST_TEXT = 200

MARKS: Table = ChartMark.__table__


def says_something(event: type[Event]) -> bool:
    """Say whether events of a type are marked on charts: those that override `mark`."""
    return event.mark is not Event.mark


def keep_marks(events: Sequence[Event]) -> None:
    """Keep what events say on charts, in the caller's unit of work."""
    rows = [{"id": e.event_id, "at": e.occurred_at, "text": text[:LONGEST_TEXT]} for e in events if (text := e.mark())]
    insert_ignore(db.session().connection(), MARKS, rows)


def purge_older(before: int) -> None:
    """Delete marks and weeks of activity from before a moment (ms): retention is not asked for that far back."""
    session = db.session()
    session.execute(delete(ChartMark).where(ChartMark.at < before))
    session.execute(delete(EventUserWeek).where(EventUserWeek.week < before))


def purge_events(before: int, most: int) -> int:
    """Delete up to `most` of the oldest events from before a moment (ms), in the caller's unit of work; returns how many.

    What they added to the measures stays, and so does when each person was first heard of.
    """
    session = db.session()
    oldest = select(TelemetryEvent.id).where(TelemetryEvent.at < before).order_by(TelemetryEvent.at).limit(most)
    ids = list(session.scalars(oldest))
    if ids:
        session.execute(delete(TelemetryEvent).where(TelemetryEvent.id.in_(ids)))
    return len(ids)
