"""Acting on token usage: roll-ups, repricing, budgets. Writes inside the caller's unit of work."""

from __future__ import annotations

from sqlalchemy import Connection

from pilothouse.sdk import db, lock_writers
from pilothouse_tokens import rollups


def compact() -> int:
    """Add the next rows to the roll-ups; returns how far that went, 0 when all are in."""
    return rollups.compact(_locked())


def expire(before: int, most: int) -> int:
    """Delete up to `most` usage rows from before a moment (ms); returns how many."""
    return rollups.expire(_locked(), before, most)


def prune() -> bool:
    """Delete some of the minutes that are not kept; says whether more is left."""
    return rollups.prune(_locked())


def _locked() -> Connection:
    connection = db.session().connection()
    lock_writers(connection)
    return connection
