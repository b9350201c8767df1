"""Background work of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import DAY, now, runtime, unit_of_work
from pilothouse_errors import service

STEPS = 200  # transactions of one purge; what is left is the next one's
SLABS = 200  # slabs that one run signs, in about 10 s


def walk_group(payload: Mapping[str, Any]) -> None:
    """Go on taking the errors of a large group along with its change of status."""
    service.walk(payload["group_id"], payload["status"], payload["mark"], payload.get("after"))


def purge(_payload: Mapping[str, Any]) -> None:
    """Delete errors older than PILOTHOUSE_RETENTION_DAYS, in short transactions; groups and their counts stay."""
    before = now() - runtime().settings["PILOTHOUSE_RETENTION_DAYS"] * DAY
    for _ in range(STEPS):
        with unit_of_work():
            gone = service.purge(before)
        if not gone:
            break
    with unit_of_work():
        service.purge_signatures()
        service.purge_hours()


def wake(_payload: Mapping[str, Any]) -> None:
    """Open the groups that were ignored for a time that is over."""
    service.wake()


def sign(_payload: Mapping[str, Any]) -> None:
    """Make the signatures by which errors are searched, of every 2,048 new errors."""
    for _ in range(SLABS):
        if not service.sign():
            return
