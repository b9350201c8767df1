"""What people are told about groups of errors."""

from __future__ import annotations

from pilothouse.sdk import Notice
from pilothouse_errors.events import GroupOpened, Regressed


def opened(event: GroupOpened) -> Notice:
    """Tell of a fault that was never seen before."""
    return _notice("New error", event)


def regressed(event: Regressed) -> Notice:
    """Tell of a resolved or ignored fault that is back."""
    return _notice("Error is back", event)


def _notice(what: str, event: GroupOpened | Regressed) -> Notice:
    where = f" in {event.workflow}" if event.workflow else ""
    return Notice(
        title=f"{what}{where}: {event.error_type}",
        message=event.title,
        type="error" if event.severity in {"high", "critical"} else "warning",
        action_url=f"/errors/{event.group_id}",
        action_label="Open the error",
        fold_key=f"errors:{event.group_id}",
    )
