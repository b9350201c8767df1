"""Dead letters: jobs that gave up, to be looked at and run again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import func, select, tuple_

from pilothouse import audit, clock
from pilothouse.db import after_commit, db, unit_of_work
from pilothouse.errors import Conflict, NotFound
from pilothouse.runtime import runtime
from pilothouse.work.models import DEAD, STATES, UNFINISHED, WAITING, Job, JobAttempt


def newest(limit: int, after: tuple[int, str] | None = None) -> list[Job]:
    """Return at most `limit` dead letters, the last to give up first, after the one with (finished_at, id)."""
    rows = select(Job).where(Job.state == DEAD)
    if after is not None:
        rows = rows.where(tuple_(Job.finished_at, Job.id) < after)
    return list(db.session.execute(rows.order_by(Job.finished_at.desc(), Job.id.desc()).limit(limit)).scalars())


def attempts_of(job_ids: Iterable[str]) -> dict[str, list[JobAttempt]]:
    """Return the starts of each of these jobs, the first one first; replayed jobs have more than three."""
    found: dict[str, list[JobAttempt]] = defaultdict(list)
    rows = select(JobAttempt).where(JobAttempt.job_id.in_(list(job_ids))).order_by(JobAttempt.started_at, JobAttempt.id)
    for attempt in db.session.execute(rows).scalars():
        found[attempt.job_id].append(attempt)
    return found


def replay(job_id: str) -> Job:
    """Let a dead letter run again, with three fresh starts; the audit log says who asked. Return the job.

    Raises NotFound where there is no such job, Conflict where it is not dead or its key is taken by an unfinished one.
    """
    with unit_of_work() as session:
        job = session.execute(select(Job).where(Job.id == job_id).with_for_update()).scalar_one_or_none()
        if job is None:
            raise NotFound("There is no such dead letter.")
        if job.state != DEAD:
            raise Conflict(f"This job is {job.state}, not a dead letter.")
        _check_key_free(job)
        now = clock.now()
        job.state, job.starts, job.due_at, job.sent_at, job.finished_at = WAITING, 0, now, None, None
        audit.record("core.dead_letter_replayed", f"job:{job_id}", detail={"task": job.task})
        dispatcher = runtime().dispatcher
        if dispatcher is not None:
            after_commit(lambda: dispatcher.wake([(job_id, job.task)]))
    return job


def counts() -> dict[str, int]:
    """Return how many jobs there are in each state."""
    found = dict.fromkeys(STATES, 0)
    for state, count in db.session.execute(select(Job.state, func.count()).group_by(Job.state)):
        found[state] = count
    return found


def _check_key_free(job: Job) -> None:
    if job.key is None:
        return
    same = select(Job.id).where(Job.key == job.key, Job.state.in_(UNFINISHED))
    if db.session.execute(same).scalar() is not None:
        raise Conflict("The same work is waiting or running already.")
