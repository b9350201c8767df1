"""The schedule: beat entries become jobs. A tick is passed over while the last one is unfinished or too young."""

from __future__ import annotations

from sqlalchemy import func, select

from pilothouse import clock
from pilothouse.contract.work import BeatEntry
from pilothouse.db import db, unit_of_work
from pilothouse.runtime import runtime
from pilothouse.work import jobs
from pilothouse.work.models import TICK_KEY, Job

SLACK = 0.9  # two schedulers on two machines are out of step; below this share of the interval a tick is the other's


def entries() -> list[BeatEntry]:
    """Return the beat entries of all plugins."""
    return [entry for _, entry in runtime().registry.all("beat_schedule")]


def tick(name: str) -> str | None:
    """Make the job of one beat entry; None where there is no such entry or its last tick is too young."""
    entry = next((entry for entry in entries() if entry.name == name), None)
    if entry is None:
        return None
    key = TICK_KEY + name
    with unit_of_work():
        if clock.now() - (last_tick(name) or 0) < entry.every_s * clock.SECOND * SLACK:
            return None
        return jobs.enqueue(entry.task, {}, key=key)


def last_tick(name: str) -> int | None:
    """Return when an entry last ticked (Unix ms); None where it never did."""
    latest = select(func.max(Job.created_at)).where(Job.key == TICK_KEY + name)
    return db.session.execute(latest).scalar()
