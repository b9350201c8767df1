"""Making jobs: exactly if the transaction commits, once a key, and without waiting for anybody."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import func, select
from work_parts import job_of, notes, state_of

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.work import jobs, runner
from pilothouse.work.models import Job


def count(app: Flask) -> int:
    with app.app_context():
        return int(db.session.execute(select(func.count()).select_from(Job)).scalar_one())


def test_a_job_exists_once_its_transaction_committed(app: Flask) -> None:
    with app.app_context(), unit_of_work():
        job_id = jobs.enqueue("probe.note", {"subject": "one"})
    job = job_of(app, job_id)
    assert (job.task, job.payload, job.state, job.starts) == ("probe.note", '{"subject":"one"}', "waiting", 0)


def test_a_job_does_not_exist_when_its_transaction_fails(app: Flask) -> None:
    def enqueue_and_fail() -> None:
        with app.app_context(), unit_of_work():
            jobs.enqueue("probe.note", {"subject": "one"})
            raise LookupError

    with pytest.raises(LookupError):
        enqueue_and_fail()
    assert count(app) == 0


def test_two_unfinished_jobs_never_share_a_key(app: Flask) -> None:
    with app.app_context():
        first = jobs.enqueue("probe.note", {"subject": "one"}, key="same")
        second = jobs.enqueue("probe.note", {"subject": "two"}, key="same")
    assert first == second
    assert count(app) == 1


def test_a_key_is_free_again_when_its_job_has_ended(app: Flask) -> None:
    with app.app_context():
        first = jobs.enqueue("probe.note", {"subject": "one"}, key="same")
    runner.run(app, first, "test")
    with app.app_context():
        assert jobs.enqueue("probe.note", {"subject": "one"}, key="same") != first


def test_many_jobs_are_made_at_once_in_order(app: Flask) -> None:
    rows = [jobs.NewJob("probe.note", {"subject": str(n)}, key="five" if n == 5 else None) for n in range(1_000)]
    with app.app_context():
        ids = jobs.enqueue_many(rows)
        again = jobs.enqueue_many(rows[5:6])
    assert job_of(app, ids[7]).payload == '{"subject":"7"}'
    assert again == [ids[5]]


def test_a_payload_is_plain_and_small(app: Flask) -> None:
    with app.app_context():
        with pytest.raises(ValueError, match="put it into a table"):
            jobs.enqueue("probe.note", {"subject": "x" * 70_000})
        with pytest.raises(TypeError):
            jobs.enqueue("probe.note", {"subject": object()})
    assert count(app) == 0


def test_a_job_for_later_is_not_run_before_its_time(app: Flask) -> None:
    with app.app_context():
        job_id = jobs.enqueue("probe.note", {"subject": "later"}, due_at=clock.now() + 60_000)
    assert runner.run(app, job_id, "test") == "passed"
    with clock.replaced(lambda: job_of(app, job_id).due_at):
        assert runner.run(app, job_id, "test") == "done"


def test_draining_runs_what_is_due_and_what_that_makes(app: Flask) -> None:
    with app.app_context():
        due = jobs.enqueue("probe.note", {"subject": "now"})
        later = jobs.enqueue("probe.note", {"subject": "later"}, due_at=clock.now() + 60_000)
    assert runner.drain(app) == 1
    assert (state_of(app, due), state_of(app, later)) == ("done", "waiting")
    assert notes(app, "now") == 1
