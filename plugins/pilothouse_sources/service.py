"""Forgetting the counts of days that are older than the retention time. In the caller's unit of work."""

from __future__ import annotations

from sqlalchemy import delete

from pilothouse.sdk import db
from pilothouse_sources.models import SourceDay, SourceRefusal


def forget(before: int) -> None:
    """Delete what was counted on days before a moment (ms)."""
    session = db.session()
    session.execute(delete(SourceDay).where(SourceDay.day < before))
    session.execute(delete(SourceRefusal).where(SourceRefusal.day < before))
