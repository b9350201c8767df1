"""What people are told about background work."""

from __future__ import annotations

from pilothouse.contract.notices import Notice, NotificationCategory
from pilothouse.work.events import DeadLetter


def dead_letter(event: DeadLetter) -> Notice:
    """Tell of a job that gave up."""
    return Notice(
        title=f"A task gave up: {event.task}",
        message=f"It was started {event.starts} time{'' if event.starts == 1 else 's'}. {event.error}",
        type="error",
        action_url="/settings/system",
        action_label="Open the system page",
        fold_key=f"core.dead_letter:{event.task}",
    )


CATEGORIES = (
    NotificationCategory(
        "core.dead_letter", "Tasks that gave up", "system", DeadLetter, dead_letter, permission="core.dead_letters.view"
    ),
)
