"""Writes."""

from __future__ import annotations

from sqlalchemy import delete

from pilothouse.sdk import DAY, db, now, runtime
from pilothouse_deploys.models import DeployRow


def forget_old() -> None:
    """Delete deployments older than PILOTHOUSE_DEPLOYS_KEPT_DAYS, in the open unit of work."""
    kept = runtime().settings["PILOTHOUSE_DEPLOYS_KEPT_DAYS"] * DAY
    db.session.execute(delete(DeployRow).where(DeployRow.at < now() - kept))
