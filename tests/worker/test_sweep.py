"""The sweep: what nobody was told of is sent, what dead workers held is taken back, what is old goes."""

from __future__ import annotations

import pytest
from flask import Flask
from kombu.exceptions import OperationalError
from sqlalchemy import func, select, update
from work_parts import attempts, job_of, make, notes, state_of

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.work import claims, dead_letters, jobs, sweep
from pilothouse.work.models import Job, JobAttempt


@pytest.fixture
def app(plain_app: Flask) -> Flask:
    """Sweep where the test says, on both databases."""
    return plain_app


class RecordingQueue:
    """A broker's queue that keeps what it is sent, and holds as many messages as the test says."""

    def __init__(self, waiting: int = 0, *, away: bool = False) -> None:
        self.sent: list[str] = []
        self.waiting = waiting
        self.away = away

    def send(self, jobs: list[tuple[str, str]]) -> None:
        self.sent += [job_id for job_id, _ in jobs]

    def length(self) -> int:
        if self.away:
            raise OperationalError("away")
        return self.waiting


def sweep_at(app: Flask, at: int, queue: RecordingQueue) -> list[str]:
    queue.sent = []
    with app.app_context(), clock.replaced(lambda: at):
        sweep.sweep(queue)
    return queue.sent


def test_a_lost_wake_up_is_found(app: Flask) -> None:
    job_id, queue = make(app, "probe.note", subject="lost"), RecordingQueue()
    made = job_of(app, job_id).created_at
    assert sweep_at(app, made + 1_000, queue) == []  # the dispatcher's is still on its way
    assert sweep_at(app, made + 6_000, queue) == [job_id]
    assert sweep_at(app, made + 11_000, queue) == []
    assert sweep_at(app, made + 37_000, queue) == [job_id]  # the broker may have been emptied


def test_a_job_for_later_is_sent_when_it_is_due(app: Flask) -> None:
    due = clock.now() + 3_600_000
    with app.app_context():
        job_id = jobs.enqueue("probe.note", {"subject": "later"}, due_at=due)
    queue = RecordingQueue()
    assert sweep_at(app, due - 1, queue) == []
    assert sweep_at(app, due, queue) == [job_id]


def test_the_queue_is_filled_up_to_its_window_and_no_further(app: Flask) -> None:
    with app.app_context():
        ids = jobs.enqueue_many([jobs.NewJob("probe.note", {"subject": str(n)}) for n in range(sweep.WINDOW + 20)])
    later = clock.now() + 10_000
    assert sweep_at(app, later, RecordingQueue(sweep.WINDOW)) == []
    assert sweep_at(app, later, RecordingQueue(sweep.WINDOW - 5)) == ids[:5]


def test_what_has_a_message_is_not_sent_again(app: Flask) -> None:
    with app.app_context():
        ids = jobs.enqueue_many([jobs.NewJob("probe.note", {"subject": str(n)}) for n in range(20)])
    later = clock.now() + 10_000
    assert sweep_at(app, later, RecordingQueue(20)) == []
    assert sweep_at(app, later, RecordingQueue(18)) == ids[:2]  # two of them have none: the oldest, whose turn it was


def test_a_broker_that_is_away_keeps_nothing_from_being_taken_back(app: Flask) -> None:
    job_id = make(app, "probe.note", subject="held")
    with app.app_context():
        claims.claim(job_id, "dead worker")
    assert sweep_at(app, clock.now() + claims.LEASE_MS + 1_000, RecordingQueue(away=True)) == []
    assert state_of(app, job_id) == "waiting"


def test_what_a_dead_worker_held_is_given_to_the_next(app: Flask) -> None:
    job_id = make(app, "probe.note", subject="held")
    with app.app_context():
        held = claims.claim(job_id, "dead worker")
    assert held is not None
    sweep_at(app, held.started_at + claims.LEASE_MS - 1, RecordingQueue())
    assert state_of(app, job_id) == "running"
    sweep_at(app, held.started_at + claims.LEASE_MS + 1, RecordingQueue())
    assert state_of(app, job_id) == "waiting"
    assert "dead worker died or stood still" in (attempts(app, job_id)[0][1] or "")


def test_three_dead_workers_make_a_dead_letter(app: Flask) -> None:
    job_id, at = make(app, "probe.note", subject="held"), clock.now()
    for _ in range(3):
        with app.app_context(), clock.replaced(lambda now=at: now):
            assert claims.claim(job_id, "dead worker") is not None
        at += 60_000
        sweep_at(app, at, RecordingQueue())
        at += 60_000
    assert state_of(app, job_id) == "dead"
    assert [outcome for outcome, _ in attempts(app, job_id)] == ["lost"] * 3
    assert notes(app, "dead probe.note after 3") == 1


def test_old_jobs_are_deleted_with_their_attempts(app: Flask) -> None:
    ids = [make(app, "probe.note", subject="old") for _ in range(3)]
    week = 7 * clock.DAY
    with app.app_context(), unit_of_work() as session:
        session.execute(update(Job).values(state="done", finished_at=clock.now() - week - 1))
        session.execute(update(Job).where(Job.id == ids[0]).values(state="dead"))
    with app.app_context():
        assert sweep.purge(90) == 2
        assert db.session.execute(select(func.count()).select_from(JobAttempt)).scalar_one() == 0
        assert dead_letters.counts()["dead"] == 1


def test_unfinished_jobs_are_never_deleted(app: Flask) -> None:
    make(app, "probe.note", subject="waiting")
    with app.app_context(), clock.replaced(lambda: clock._system_now() + 400 * clock.DAY):
        assert sweep.purge(1) == 0
