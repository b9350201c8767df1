"""Reactions of tokens to what happens to executions."""

from __future__ import annotations

from sqlalchemy import Table

from pilothouse.sdk import db, insert_ignore
from pilothouse_executions.events import Failed
from pilothouse_tokens.models import FailedExecution

_FAILED: Table = FailedExecution.__table__


def note_failure(event: Failed) -> None:
    """Note that an execution failed: what its calls cost brought nothing."""
    row = {"execution_id": event.execution_id, "at": event.occurred_at}
    insert_ignore(db.session().connection(), _FAILED, [row])
