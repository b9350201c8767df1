"""Acting on token usage: repricing, budgets, deleting what is old. Writes inside the caller's unit of work."""

from __future__ import annotations

from sqlalchemy import delete, select

from pilothouse.sdk import db
from pilothouse_tokens.models import TokenUsageRow


def expire(before: int, most: int) -> int:
    """Delete up to `most` of the oldest usage rows from before a moment (ms); returns how many."""
    session = db.session()
    oldest = select(TokenUsageRow.seq).where(TokenUsageRow.at < before).order_by(TokenUsageRow.at).limit(most)
    numbers = list(session.scalars(oldest))
    if numbers:
        session.execute(delete(TokenUsageRow).where(TokenUsageRow.seq.in_(numbers)))
    return len(numbers)
