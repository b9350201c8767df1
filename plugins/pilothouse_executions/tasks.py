"""Background work of executions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import DAY, now, runtime, unit_of_work
from pilothouse_executions import service

EXPIRE_ROWS = 200  # executions a transaction deletes, each with its steps: it holds the writers' lock
EXPIRE_MOST = 40_000  # executions a run deletes; what is left waits for the next one


def mark_lost(_payload: Mapping[str, Any]) -> None:
    """Mark executions lost that fell silent for PILOTHOUSE_LOST_AFTER."""
    service.mark_lost(runtime().settings["PILOTHOUSE_LOST_AFTER"])


def expire(_payload: Mapping[str, Any]) -> None:
    """Delete executions older than PILOTHOUSE_RETENTION_DAYS with their steps, in small batches; their counts stay."""
    before = now() - runtime().settings["PILOTHOUSE_RETENTION_DAYS"] * DAY
    ids = service.expired(before, EXPIRE_MOST)
    for first in range(0, len(ids), EXPIRE_ROWS):
        with unit_of_work():
            service.expire(ids[first : first + EXPIRE_ROWS], before)
