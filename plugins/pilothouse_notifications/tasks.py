"""Background work of notifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import runtime, unit_of_work
from pilothouse_notifications import channels, delivering, service, telling


def fan_out(_payload: Mapping[str, Any]) -> None:
    """Tell people of what waits."""
    telling.tell_all()


def deliver(payload: Mapping[str, Any]) -> None:
    """Let out what is due in a lane, `{"lane"}`."""
    delivering.deliver(str(payload["lane"]))


def sweep(_payload: Mapping[str, Any]) -> None:
    """Find what waits and nobody was woken for, and what was snoozed until now."""
    service.wake_snoozed()
    telling.tell_all()
    delivering.wake_due()


def rewrap(_payload: Mapping[str, Any]) -> None:
    """Wrap the secrets of all channels with the newest master key."""
    with unit_of_work():
        channels.rewrap_all()


def purge(_payload: Mapping[str, Any]) -> None:
    """Delete notices older than PILOTHOUSE_RETENTION_DAYS."""
    service.purge(runtime().settings["PILOTHOUSE_RETENTION_DAYS"])
