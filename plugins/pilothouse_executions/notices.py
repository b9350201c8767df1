"""What people are told about executions."""

from __future__ import annotations

from urllib.parse import quote

from pilothouse.sdk import Notice, NotificationCategory
from pilothouse_executions.events import CommandGiven, Failed, Finished, Lost

UNKNOWN = "An unnamed workflow"
OPEN = "Open the execution"


def failed(event: Failed) -> Notice:
    """Tell of a failed execution and why, where its report said so; those of one workflow fold."""
    what = "timed out" if event.status == "timed_out" else "failed"
    return Notice(
        f"{event.workflow or UNKNOWN} {what}", event.error or f"Execution {event.execution_id} {what}.", "error",
        _page(event.execution_id), OPEN, f"executions.failed:{event.workflow}",
    )  # fmt: skip


def succeeded(event: Finished) -> Notice | None:
    """Tell of an execution that went well; None for other ends, which have their own words or are somebody's wish."""
    if event.status != "succeeded":
        return None
    return Notice(
        f"{event.workflow or UNKNOWN} succeeded", f"Execution {event.execution_id} succeeded.", "success",
        _page(event.execution_id), OPEN, f"executions.succeeded:{event.workflow}",
    )  # fmt: skip


def lost(event: Lost) -> Notice:
    """Tell of an execution that fell silent."""
    return Notice(
        f"{event.workflow or UNKNOWN} was lost", f"Nothing was heard of execution {event.execution_id} any more.", "warning",
        _page(event.execution_id), OPEN, f"executions.lost:{event.workflow}",
    )  # fmt: skip


def commanded(event: CommandGiven) -> Notice:
    """Tell of somebody's wish to cancel or rerun: channels pass it on to programs, so none folds into another."""
    what = "cancelled" if event.command == "cancel" else "asked to run again"
    reason = f": {event.reason}" if event.reason else "."
    return Notice(
        f"{event.workflow or UNKNOWN} was {what}", f"By {event.actor}{reason}", "info", _page(event.execution_id), OPEN
    )


def _page(execution_id: str) -> str:
    return f"/executions/{quote(execution_id, safe='')}"


CATEGORIES = (
    NotificationCategory("executions.failed", "Workflows that failed", "workflow", Failed, failed),
    NotificationCategory("executions.lost", "Executions that fell silent", "workflow", Lost, lost, on_by_default=False),
    NotificationCategory(
        "executions.succeeded", "Workflows that succeeded", "workflow", Finished, succeeded, on_by_default=False
    ),
    NotificationCategory(
        "executions.commanded", "Executions cancelled or run again", "workflow", CommandGiven, commanded,
        on_by_default=False, for_programs=True,
    ),
)  # fmt: skip
