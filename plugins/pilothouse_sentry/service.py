"""Holding check-ins against the schedules that they name: jobs that did not start, and runs that did not end in time.

Everything happens in the caller's unit of work, with the writers' lock: a check-in and the search for missing ones never see
half of each other.
"""

from __future__ import annotations

import hashlib

import msgspec
from sqlalchemy import delete, func, select

from pilothouse.sdk import DAY, Execution, Signal, Source, db, lock_writers, now, raw, runtime, to_rfc3339
from pilothouse_sentry import schedules
from pilothouse_sentry.checkins import MISSED, CheckIn, missed_error
from pilothouse_sentry.models import Monitor, OpenRun
from pilothouse_sentry.queries import schedule_of
from pilothouse_sentry.schedules import Schedule

SOURCE = Source(client="sentry.monitors")
# with a schedule, and as many without: names are what clients say, and one that says another each time must not fill the disk
MOST_MONITORS = 2_000
MOST_AT_ONCE = 500
MOST_MISSES = 20  # in a row: a job that was taken away is not waited for for ever
KEPT = 30 * DAY  # a monitor that nobody waits for is forgotten so long after it was heard of


def note(check_ins: list[CheckIn]) -> None:
    """Take note of what check-ins say of their monitors and runs."""
    for check_in in check_ins:
        monitor = _monitor(check_in)
        schedule = None if monitor is None else schedule_of(monitor)
        was_open = _follow_run(check_in, schedule)
        if monitor is None:
            continue
        if check_in.at >= monitor.last_at:
            monitor.last_status, monitor.last_at, monitor.last_run_id = check_in.status, check_in.at, check_in.id
        if check_in.ends and was_open:
            continue  # the end of a run says nothing of when the next one is due: its start did
        begun = check_in.at if check_in.started_at is None else check_in.started_at
        monitor.misses, monitor.heard_at = 0, max(monitor.heard_at, begun)
        if schedule is not None:
            _expect(monitor, schedule, schedule.after_start(begun))


def find_missed() -> int:
    """Record jobs that did not start in time as runs that failed, and runs that did not end in time; returns how many.

    A run's id follows from the moment at which it was due, so each is recorded once, however often this is tried.
    """
    session, at = db.session(), now()
    lock_writers(session.connection())
    late = session.scalars(select(Monitor).where(Monitor.late_at <= at).order_by(Monitor.late_at).limit(MOST_AT_ONCE)).all()
    over = session.scalars(select(OpenRun).where(OpenRun.ends_at <= at).order_by(OpenRun.ends_at).limit(MOST_AT_ONCE)).all()
    missed = [_missed_run(monitor) for monitor in late]
    signals: list[Signal] = [*missed, *map(_timed_out, over)]
    for monitor, missing in zip(late, missed, strict=True):
        monitor.last_status, monitor.last_at, monitor.last_run_id = MISSED, monitor.late_at or at, missing.id
        monitor.misses += 1
        schedule = schedule_of(monitor)
        if schedule is not None:
            following = schedule.after_missing(monitor.due_at or at, at)
            _expect(monitor, schedule, following if monitor.misses < MOST_MISSES else None)
    for run in over:
        behind = session.get(Monitor, (run.slug, run.environment))
        if behind is not None and behind.last_run_id == run.id:
            behind.last_status, behind.last_at = "timed_out", run.ends_at
        session.delete(run)
    session.flush()
    runtime().ingest.submit(list(enumerate(signals)), SOURCE)
    return len(signals)


def forget() -> None:
    """Forget monitors that nobody waits for any more."""
    session = db.session()
    session.execute(delete(Monitor).where(Monitor.due_at.is_(None), Monitor.heard_at < now() - KEPT))


def _monitor(check_in: CheckIn) -> Monitor | None:
    """Return the monitor of a check-in, made or changed as it says; None where there is no room for a new one."""
    session = db.session()
    monitor = session.get(Monitor, (check_in.slug, check_in.environment))
    told = schedules.read(check_in.config) if check_in.config else None
    if monitor is None and _has_room(scheduled=told is not None):
        monitor = Monitor(
            slug=check_in.slug, environment=check_in.environment, misses=0, heard_at=check_in.at, last_status=check_in.status,
            last_at=check_in.at, last_run_id=check_in.id,
        )  # fmt: skip
        session.add(monitor)
    if monitor is not None and told is not None:
        monitor.schedule = msgspec.json.encode(told).decode()
    return monitor


def _has_room(*, scheduled: bool) -> bool:
    kind = Monitor.schedule.is_not(None) if scheduled else Monitor.schedule.is_(None)
    return (db.session().scalar(select(func.count()).where(kind)) or 0) < MOST_MONITORS


def _follow_run(check_in: CheckIn, schedule: Schedule | None) -> bool:
    """Wait for the end of a run that started, and no more for that of one that ended; says whether it was waited for."""
    session = db.session()
    row = session.get(OpenRun, check_in.id)
    if check_in.ends and row is not None:
        session.delete(row)
    elif not check_in.ends and schedule is not None:
        ends_at = check_in.at + schedule.max_runtime
        session.merge(OpenRun(id=check_in.id, slug=check_in.slug, environment=check_in.environment, ends_at=ends_at))
    return row is not None


def _expect(monitor: Monitor, schedule: Schedule, due: int | None) -> None:
    monitor.due_at, monitor.late_at = due, None if due is None else due + schedule.margin


def _missed_run(monitor: Monitor) -> Execution:
    due, late, schedule = monitor.due_at or 0, monitor.late_at or 0, schedule_of(monitor)
    told = {"monitor": monitor.slug, "check_in": "missed", "due_at": to_rfc3339(due)}
    if schedule is not None:
        told |= {"schedule": schedule.in_words(), "timezone": schedule.timezone}
    key = f"missed\0{monitor.slug}\0{monitor.environment}\0{due}"
    return Execution(
        id=hashlib.sha256(key.encode()).hexdigest()[:32], workflow=monitor.slug, status="failed", finished_at=late,
        trigger="schedule", environment=monitor.environment or None, attributes=raw(told),
        error=missed_error(monitor.slug, late),
    )  # fmt: skip


def _timed_out(run: OpenRun) -> Execution:
    return Execution(
        id=run.id, workflow=run.slug, status="timed_out", finished_at=run.ends_at, environment=run.environment or None
    )
