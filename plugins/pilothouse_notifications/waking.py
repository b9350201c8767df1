"""Waking what delivers: one job for each lane at a time, so that a slow receiver holds up nobody else."""

from __future__ import annotations

from pilothouse.sdk import enqueue

IN_APP, MAIL = "in_app", "email"  # lanes; every channel is one by its id
DELIVER = "notifications.deliver"


def wake(lane: str) -> None:
    """Let a lane's due deliveries go out, in the open unit of work; does nothing where its job is waiting already."""
    if lane != IN_APP:
        enqueue(DELIVER, {"lane": lane}, key=f"{DELIVER}:{lane}")
