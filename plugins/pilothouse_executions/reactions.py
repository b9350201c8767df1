"""Reactions of executions to what happens to things that it counts."""

from __future__ import annotations

from pilothouse.sdk import db
from pilothouse_executions import totals
from pilothouse_executions.events import UsageCorrected


def correct_usage(event: UsageCorrected) -> None:
    """Keep the totals of executions right when usage that was counted before changes; in the change's transaction."""
    if event.deltas:
        totals.correct_usage(db.session().connection(), event.deltas)
