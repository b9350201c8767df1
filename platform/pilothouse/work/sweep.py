"""The sweep: finds what was not sent, what a worker left lying, and what may be deleted.

It runs every 5 s in the scheduler's own process, so it goes on while all workers are busy, hung or dead. Several sweeps
at once do no harm: each change is guarded, and a message sent twice is passed over by the claim.
"""

from __future__ import annotations

from typing import Protocol

from kombu.exceptions import OperationalError
from sqlalchemy import and_, delete, func, or_, select, update

from pilothouse import bus, clock, logs
from pilothouse.db import count_changed, db, unit_of_work
from pilothouse.work.claims import BACK_OFF_MS, MAX_STARTS
from pilothouse.work.events import DeadLetter
from pilothouse.work.models import DEAD, DONE, RUNNING, SENT, WAITING, Job, JobAttempt

EVERY_S = 5.0
FRESH_MS = 5 * clock.SECOND  # a job younger than this is on its way by the dispatcher
RESEND_MS = 30 * clock.SECOND  # a message that was not taken for so long may be lost
WINDOW = 500  # messages that the queue is filled up to: it is a short window on the table, whatever the backlog
KEEP_DONE_MS = 7 * clock.DAY
UNSYNCHRONISED = {"synchronize_session": False}  # no objects of these rows are in the session
PURGE_BATCH = 500  # rows a transaction: about 5 ms of SQLite's only writer


class Queue(Protocol):
    """What the sweep needs of the broker; see `dispatcher.Sender`."""

    def send(self, jobs: list[tuple[str, str]]) -> None:
        """Send (job id, task name) pairs."""

    def length(self) -> int:
        """Return how many messages wait."""


def sweep(queue: Queue | None) -> None:
    """Take back what dead workers held, then fill the broker's queue from the table. Needs an application context."""
    take_back()
    if queue is not None:
        try:
            send_due(queue)
        except (OperationalError, OSError) as fault:
            logs.get("sweep").warning("broker_away", error=type(fault).__name__)
    db.session.rollback()


def take_back() -> int:
    """Give every job whose lease has ended to the next worker, or bury it after its third start; return how many."""
    now = clock.now()
    expired = select(Job.id).where(Job.state == RUNNING, Job.lease_until < now).order_by(Job.lease_until).limit(WINDOW)
    return sum(_take_back_one(job_id, now) for job_id in db.session.execute(expired).scalars().all())


def _take_back_one(job_id: str, now: int) -> bool:
    with unit_of_work() as session:
        # The transaction is the writer's own, so on SQLite this row is as fresh as can be; on PostgreSQL it is locked.
        held = select(Job).where(Job.id == job_id, Job.state == RUNNING, Job.lease_until < now)
        job = session.execute(held.with_for_update(skip_locked=True)).scalar_one_or_none()
        if job is None:
            return False
        reason = f"The worker {job.worker} died or stood still while it ran this (start {job.starts} of {MAX_STARTS})."
        open_attempts = update(JobAttempt).where(JobAttempt.job_id == job_id, JobAttempt.outcome.is_(None))
        session.execute(open_attempts.values(outcome="lost", error=reason, finished_at=now))
        job.error, job.lease_until, job.sent_at = reason, None, None
        if job.starts >= MAX_STARTS:
            job.state, job.finished_at = DEAD, now
            bus.publish(DeadLetter(job_id=job.id, task=job.task, starts=job.starts, error=reason))
        else:
            job.state, job.due_at = WAITING, now + BACK_OFF_MS[job.starts - 1]
    logs.get("sweep").warning("taken_back", job_id=job_id, reason=reason)
    return True


def send_due(queue: Queue) -> int:
    """Send what is due and not on its way, the oldest first, as far as the queue's window has room; return how many.

    Of more due jobs than waiting messages, the difference at least has none. The oldest are sent: messages are taken in
    their order, so those of the youngest are still there.
    """
    now = clock.now()
    messages = queue.length()
    due = (Job.state.in_((WAITING, SENT)), Job.due_at <= now)
    waiting = select(func.count()).select_from(select(Job.id).where(*due).limit(WINDOW).subquery())
    room = db.session.execute(waiting).scalar_one() - messages
    if room <= 0:
        return 0
    unsent = and_(Job.sent_at.is_(None), Job.created_at <= now - FRESH_MS)
    lost = select(Job.id, Job.task).where(*due, or_(unsent, Job.sent_at <= now - RESEND_MS))
    jobs = [(row.id, row.task) for row in db.session.execute(lost.order_by(Job.due_at, Job.id).limit(room))]
    db.session.rollback()
    if jobs:
        queue.send(jobs)
        with unit_of_work() as session:
            still = update(Job).where(Job.id.in_([job_id for job_id, _ in jobs]), Job.state.in_((WAITING, SENT)))
            session.execute(still.values(state=SENT, sent_at=now), execution_options=UNSYNCHRONISED)
    return len(jobs)


def purge(retention_days: int) -> int:
    """Delete jobs that ended well 7 days ago and dead letters after the retention, in small transactions."""
    now = clock.now()
    return _purge(DONE, now - KEEP_DONE_MS) + _purge(DEAD, now - retention_days * clock.DAY)


def _purge(state: str, before: int) -> int:
    deleted = 0
    while True:
        old = select(Job.id).where(Job.state == state, Job.finished_at < before).limit(PURGE_BATCH)
        with unit_of_work():
            count = count_changed(delete(Job).where(Job.id.in_(old)).execution_options(**UNSYNCHRONISED))
        deleted += count
        if count < PURGE_BATCH:
            return deleted
