"""Reads for the core's own pages: how large the database is, how far the audit log goes, whether a token was used."""

from __future__ import annotations

from sqlalchemy import func, select, text

from pilothouse import clock
from pilothouse.audit import HEAD, AuditHead
from pilothouse.db import db
from pilothouse.identity.models import AccessToken
from pilothouse.measure_models import MeasureDelta


def database_size() -> int:
    """Return the bytes that the database's tables and indexes take."""
    if db.engine.dialect.name == "postgresql":
        return int(db.session.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    pages = int(db.session.scalar(text("PRAGMA page_count")) or 0)
    return pages * int(db.session.scalar(text("PRAGMA page_size")) or 0)


def waiting_deltas() -> tuple[int, int | None]:
    """Return how many sums of measures wait for compaction, and the minute (ms) of the oldest; None where none waits."""
    waiting, oldest = db.session.execute(select(func.count(), func.min(MeasureDelta.at)).select_from(MeasureDelta)).one()
    return int(waiting), oldest


def audit_head() -> tuple[int, str]:
    """Return how many entries the audit log has, and the newest one's hash; empty where there is none."""
    row = db.session.execute(select(AuditHead.entries, AuditHead.hash).where(AuditHead.id == HEAD)).one_or_none()
    return (row.entries, row.hash) if row else (0, "")


def token_used_since(at: int) -> bool:
    """Say whether any access token that still works was used after the moment `at` (ms)."""
    working = AccessToken.revoked_at.is_(None), AccessToken.expires_at.is_(None) | (AccessToken.expires_at > clock.now())
    last = db.session.scalar(select(func.max(AccessToken.last_used_at)).where(*working))
    return last is not None and last >= at
