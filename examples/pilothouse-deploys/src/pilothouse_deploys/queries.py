"""Reads."""

from __future__ import annotations

from sqlalchemy import select, tuple_

from pilothouse.sdk import db
from pilothouse_deploys.models import DeployRow


def newest(limit: int, after: tuple[int, str] | None = None) -> list[DeployRow]:
    """Return deployments, the newest first, after the one with this time and id."""
    found = select(DeployRow).order_by(DeployRow.at.desc(), DeployRow.id.desc()).limit(limit)
    if after is not None:
        found = found.where(tuple_(DeployRow.at, DeployRow.id) < after)
    return list(db.session.scalars(found))
