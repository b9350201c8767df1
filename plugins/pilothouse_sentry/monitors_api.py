"""The endpoint of the scheduled jobs."""

from __future__ import annotations

import msgspec

from pilothouse.sdk import ApiBlueprint, to_rfc3339
from pilothouse_sentry import queries
from pilothouse_sentry.queries import Job, State
from pilothouse_sentry.schedules import Schedule

VIEW = "sentry.monitors.view"


class MonitorQuery(msgspec.Struct, frozen=True):
    """Which jobs."""

    state: State | None = None


class ScheduleAnswer(msgspec.Struct, frozen=True):
    """When a job is due: a crontab line, or every so many units. How late it may start and how long run, in ms."""

    crontab: str | None
    every: int | None
    unit: str | None
    timezone: str
    margin_ms: int
    max_runtime_ms: int


class MonitorAnswer(msgspec.Struct, frozen=True):
    """A job in one environment. Without a `schedule` it is not waited for; `misses` are those in a row.

    `next_expected_at` is null where it is not waited for, or no more.
    """

    slug: str
    environment: str | None
    state: State
    schedule: ScheduleAnswer | None
    last_check_in_at: str
    last_execution_id: str
    next_expected_at: str | None
    misses: int


class Monitors(msgspec.Struct, frozen=True):
    """All jobs at once, those in trouble first; at most 4,000."""

    data: list[MonitorAnswer]


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("sentry_monitors", title="Scheduled jobs")
    bp.get("/monitors", permission=VIEW)(list_monitors)
    return bp


def list_monitors(query: MonitorQuery) -> Monitors:
    """List scheduled jobs.

    Those that check in (Sentry's SDKs): how the last run went and, where they told their schedule, when the next one is due. A
    job that did not start in time is `missed`, one that did not end in time `overrun`.
    """
    return Monitors([_answer(job) for job in queries.jobs(query.state)])


def _answer(job: Job) -> MonitorAnswer:
    return MonitorAnswer(
        job.slug, job.environment or None, job.state, _schedule(job.schedule), to_rfc3339(job.last_at),
        job.last_run_id, None if job.next_at is None else to_rfc3339(job.next_at), job.misses,
    )  # fmt: skip


def _schedule(told: Schedule | None) -> ScheduleAnswer | None:
    if told is None:
        return None
    return ScheduleAnswer(
        told.crontab or None, told.every or None, told.unit or None, told.timezone, told.margin, told.max_runtime
    )
