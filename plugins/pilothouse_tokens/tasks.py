"""Background work of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import DAY, now, runtime, unit_of_work
from pilothouse_tokens import service

COMPACT_STEPS = 40  # transactions a run makes; what is left waits for the next one
EXPIRE_ROWS = 2_000  # rows a transaction deletes: it holds the writers' lock for some 20 ms
EXPIRE_STEPS = 200


def compact(_payload: Mapping[str, Any]) -> None:
    """Bring the roll-ups up to date, in small transactions."""
    for _ in range(COMPACT_STEPS):
        with unit_of_work():
            if service.compact() == 0:
                return


def expire(_payload: Mapping[str, Any]) -> None:
    """Delete usage older than PILOTHOUSE_RETENTION_DAYS and minutes that are not kept, in small batches; sums stay."""
    before = now() - runtime().settings["PILOTHOUSE_RETENTION_DAYS"] * DAY
    for _ in range(EXPIRE_STEPS):
        with unit_of_work():
            expired = service.expire(before, EXPIRE_ROWS)
            more = service.prune()
        if expired < EXPIRE_ROWS and not more:
            return
