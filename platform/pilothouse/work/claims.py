"""Who holds a job: claiming it, keeping the lease, and giving it back. Every step is one guarded UPDATE.

The guard names the worker and the number of the start, so a worker that was taken for dead and comes back finds that
its claim is gone, and what it wrote in that transaction is rolled back.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
from flask import Flask
from sqlalchemy import Update, insert, select, update

from pilothouse import bus, clock
from pilothouse.db import count_changed, db, unit_of_work
from pilothouse.errors import PilothouseError
from pilothouse.work.events import DeadLetter
from pilothouse.work.models import DEAD, DONE, RUNNING, SENT, TICK_KEY, WAITING, Job, JobAttempt

JOBS, ATTEMPTS = Job.__table__, JobAttempt.__table__  # every job passes here: tables cost half of what models do
LEASE_MS = 20 * clock.SECOND  # with the sweep's 5 s a killed worker is noticed within 25 s
RENEW_S = 5.0  # three renewals may fail before the lease ends
MAX_STARTS = 3
BACK_OFF_MS = (2 * clock.SECOND, 10 * clock.SECOND)  # before the second and the third start


class ClaimLostError(PilothouseError):
    """The job belongs to somebody else by now; nothing of this run may be kept."""

    code, title = "claim_lost", "The job was given to another worker"


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker holds: the `starts`-th start of it. A `scheduled` one is a tick of the schedule."""

    job_id: str
    task: str
    payload: Mapping[str, Any]
    starts: int
    worker: str
    attempt_id: str
    started_at: int
    scheduled: bool = False


def claim(job_id: str, worker: str) -> Claim | None:
    """Take a job that waits, and commit the row of this attempt; None where somebody else has it or it is not due."""
    now = clock.now()
    free = (JOBS.c.id == job_id, JOBS.c.state.in_((WAITING, SENT)), JOBS.c.due_at <= now)
    if db.session().execute(select(JOBS.c.id).where(*free)).scalar() is None:
        return None  # told by a look: messages may come twice, and each of them would keep the writers waiting
    taken = {"state": RUNNING, "starts": JOBS.c.starts + 1, "started_at": now, "lease_until": now + LEASE_MS, "worker": worker}
    with unit_of_work() as session:
        if not _changed(update(JOBS).where(*free).values(**taken, error=None)):
            return None
        wanted = select(JOBS.c.task, JOBS.c.payload, JOBS.c.starts, JOBS.c.key).where(JOBS.c.id == job_id)
        task, payload, starts, key = session.execute(wanted).one()
        attempt_id = clock.new_id()
        session.execute(insert(ATTEMPTS).values(id=attempt_id, job_id=job_id, started_at=now, worker=worker))
    scheduled = key is not None and key.startswith(TICK_KEY)
    return Claim(job_id, task, msgspec.json.decode(payload), starts, worker, attempt_id, now, scheduled)


def finish(held: Claim) -> None:
    """Write the job's end in the open unit of work. Raises ClaimLostError, which rolls that back, where it is lost."""
    _close(held, "done", None, state=DONE, finished_at=clock.now(), lease_until=None)


def fail(held: Claim, error: str, *, final: bool = False) -> bool:
    """Write down a failed start: it runs again after a pause, or is dead after the third; return whether it is dead."""
    with unit_of_work():
        if final or held.starts >= MAX_STARTS:
            _close(held, "failed", error, state=DEAD, finished_at=clock.now(), lease_until=None, error=error)
            bus.publish(DeadLetter(job_id=held.job_id, task=held.task, starts=held.starts, error=error))
            return True
        due_at = clock.now() + BACK_OFF_MS[held.starts - 1]
        _close(held, "failed", error, state=WAITING, due_at=due_at, sent_at=None, lease_until=None, error=error)
    return False


def postpone(held: Claim, reason: str, pause_ms: int) -> None:
    """Give the job back without counting this start: the reason lies outside of the task."""
    with unit_of_work():
        _close(
            held, "postponed", reason,
            state=WAITING, starts=held.starts - 1, due_at=clock.now() + pause_ms, sent_at=None, lease_until=None,
            error=reason,
        )  # fmt: skip


def renew(held: Claim) -> bool:
    """Prolong the lease; False where the claim is lost."""
    with unit_of_work():
        return _changed(_mine(held).values(lease_until=clock.now() + LEASE_MS))


def _mine(held: Claim) -> Update:
    return update(JOBS).where(
        JOBS.c.id == held.job_id, JOBS.c.state == RUNNING, JOBS.c.worker == held.worker, JOBS.c.starts == held.starts,
        JOBS.c.started_at == held.started_at,
    )  # fmt: skip


def _close(held: Claim, outcome: str, reason: str | None, **values: Any) -> None:
    with unit_of_work() as session:
        if not _changed(_mine(held).values(**values)):
            raise ClaimLostError(f"job {held.job_id} was given to another worker while {held.worker} ran it")
        ended = update(ATTEMPTS).where(ATTEMPTS.c.id == held.attempt_id)
        session.execute(ended.values(outcome=outcome, error=reason, finished_at=clock.now()))


def _changed(statement: Update) -> bool:
    return count_changed(statement) == 1


class Lease:
    """Renews a claim every 5 s from a thread of its own while the block runs.

    On SQLite a renewal may find the database locked by the very task that it serves. That does no harm: the sweep
    cannot write either until the task has committed or died.
    """

    def __init__(self, app: Flask, held: Claim) -> None:
        """Take the application whose context the thread needs."""
        self._app = app
        self._held = held
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Start the thread."""
        threading.Thread(target=self._run, name="lease", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Let the thread end by itself; nobody waits for it."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(RENEW_S):
            with self._app.app_context():
                try:
                    if not renew(self._held):
                        return
                except PilothouseError:
                    continue  # the store is away or busy; the next renewal may find it back in time
