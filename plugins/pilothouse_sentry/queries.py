"""Reads: the jobs that check in, how the last run of each went and when the next one is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
from sqlalchemy import select

from pilothouse.sdk import db
from pilothouse_sentry.models import Monitor
from pilothouse_sentry.schedules import Schedule

State = Literal["ok", "running", "failed", "overrun", "missed"]
STATES: dict[str, State] = {
    "succeeded": "ok", "running": "running", "failed": "failed", "timed_out": "overrun", "missed": "missed",
}  # fmt: skip
TROUBLE = ("missed", "overrun", "failed")  # what is listed first, the worst at the top


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled job in one environment ("" where none is named); moments are Unix ms.

    A job that told no `schedule` is not waited for. `next_at` is null for one that is not expected, or no more. `last_run_id`
    is the execution of its last run.
    """

    slug: str
    environment: str
    schedule: Schedule | None
    state: State
    last_at: int
    last_run_id: str
    next_at: int | None
    misses: int


def jobs(state: State | None = None) -> list[Job]:
    """Return the jobs, those in trouble first, then by name; of one state where it is given."""
    rows = db.session().scalars(select(Monitor).order_by(Monitor.slug, Monitor.environment))
    found = [
        Job(row.slug, row.environment, schedule_of(row), STATES[row.last_status], row.last_at,
            row.last_run_id, row.due_at, row.misses)
        for row in rows
    ]  # fmt: skip
    wanted = [job for job in found if state is None or job.state == state]
    return sorted(wanted, key=lambda job: TROUBLE.index(job.state) if job.state in TROUBLE else len(TROUBLE))


def schedule_of(monitor: Monitor) -> Schedule | None:
    """Return when a monitor's job is due; None where it never said so."""
    return None if monitor.schedule is None else msgspec.json.decode(monitor.schedule, type=Schedule)
