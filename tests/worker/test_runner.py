"""Running one job: the start is counted first, effects and end commit together, and nobody runs another's job."""

from __future__ import annotations

import pytest
from flask import Flask
from work_parts import attempts, job_of, make, notes, state_of

from pilothouse import clock
from pilothouse.db import unit_of_work
from pilothouse.work import claims, runner


@pytest.fixture
def app(plain_app: Flask) -> Flask:
    """Run jobs where the test says, on both databases."""
    return plain_app


def run_at_due(app: Flask, job_id: str) -> str:
    """Run the job at the moment at which it is due."""
    due_at = job_of(app, job_id).due_at
    with clock.replaced(lambda: due_at):
        return runner.run(app, job_id, "test")


@pytest.mark.parametrize("task", ["probe.note", "probe.note_outside"])
def test_a_job_runs_once(app: Flask, task: str) -> None:
    job_id = make(app, task, subject="work")
    assert [runner.run(app, job_id, "test") for _ in range(3)] == ["done", "passed", "passed"]
    assert notes(app, "work") == 1
    assert attempts(app, job_id) == [("done", None)]


def test_a_failing_task_leaves_nothing_half_done_and_runs_again_later(app: Flask) -> None:
    job_id = make(app, "probe.fail")
    assert runner.run(app, job_id, "test") == "failed"
    job = job_of(app, job_id)
    assert (job.state, job.error) == ("waiting", "ValueError: it cannot be done")
    assert job.due_at > clock.now()
    assert notes(app, "half done") == 0


def test_after_three_starts_a_job_is_a_dead_letter_and_that_is_told(app: Flask) -> None:
    job_id = make(app, "probe.fail")
    outcomes = [run_at_due(app, job_id) for _ in range(4)]
    assert outcomes == ["failed", "failed", "dead", "passed"]
    assert notes(app, "dead probe.fail after 3") == 1
    assert attempts(app, job_id) == [("failed", "ValueError: it cannot be done")] * 3


def test_a_reason_shows_no_secret(app: Flask) -> None:
    job_id = make(app, "probe.fail", message="401 for sk-ant-abcdefghijklmnopqrstuvwxyz at https://me:pass@host/")
    runner.run(app, job_id, "test")
    error = job_of(app, job_id).error or ""
    assert "abcdefgh" not in error
    assert "me:pass" not in error


def test_an_outage_does_not_count_as_a_start(app: Flask) -> None:
    job_id = make(app, "probe.outage")
    assert [run_at_due(app, job_id) for _ in range(5)] == ["postponed"] * 5
    assert job_of(app, job_id).starts == 0


def test_a_task_that_no_plugin_has_is_a_dead_letter_at_once(app: Flask) -> None:
    job_id = make(app, "gone.task")
    assert runner.run(app, job_id, "test") == "dead"
    assert "No plugin has the task gone.task" in (job_of(app, job_id).error or "")


def test_a_worker_that_was_taken_for_dead_keeps_nothing(app: Flask) -> None:
    job_id = make(app, "probe.note", subject="stolen")
    with app.app_context():
        held = claims.claim(job_id, "slow")
        assert held is not None
        claims.postpone(held, "taken away", 0)
        other = claims.claim(job_id, "quick")
        with pytest.raises(claims.ClaimLostError), unit_of_work():
            claims.finish(held)
        assert other is not None
        claims.finish(other)
    assert state_of(app, job_id) == "done"


def test_a_lease_is_prolonged_by_its_holder_only(app: Flask) -> None:
    job_id = make(app, "probe.note", subject="lease")
    with app.app_context():
        held = claims.claim(job_id, "one")
        assert held is not None
        with clock.replaced(lambda: held.started_at + 10_000):
            assert claims.renew(held)
        claims.fail(held, "gave up")
        assert not claims.renew(held)
    assert job_of(app, job_id).lease_until is None


def test_work_of_a_plugin_that_is_switched_off_waits(app: Flask) -> None:
    app.extensions["pilothouse"].switches.off = frozenset({"probe"})
    app.extensions["pilothouse"].switches.read_at = clock.now()
    job_id = make(app, "probe.note", subject="off")
    assert runner.run(app, job_id, "test") == "postponed"
    assert (job_of(app, job_id).error, notes(app, "off")) == ("The plugin probe is switched off.", 0)
