"""Background work of telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import DAY, now, runtime, unit_of_work
from pilothouse_telemetry import service

YEAR = 400 * DAY  # the longest period that can be asked for
PURGE_ROWS = 2_000  # events a transaction deletes: it holds the writers' lock for some 20 ms
PURGE_STEPS = 200  # transactions a run makes; what is left waits for the next one


def purge(_payload: Mapping[str, Any]) -> None:
    """Delete events that are older than PILOTHOUSE_RETENTION_DAYS, in small batches, and what is kept longer after a year."""
    with unit_of_work():
        service.purge_older(now() - YEAR)
    before = now() - runtime().settings["PILOTHOUSE_RETENTION_DAYS"] * DAY
    for _ in range(PURGE_STEPS):
        with unit_of_work():
            if service.purge_events(before, PURGE_ROWS) < PURGE_ROWS:
                return
