"""Deleting old events: the only writes of this plugin beside recording."""

from __future__ import annotations

from sqlalchemy import delete, select

from pilothouse.sdk import db
from pilothouse_telemetry.models import TelemetryEvent


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
