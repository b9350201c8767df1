"""A real worker and scheduler process on a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from work_parts import Broker, end_group, eventually, job_of, notes, state_of

from pilothouse import clock, health
from pilothouse.db import db, unit_of_work
from pilothouse.work import jobs
from pilothouse.work.models import Job, JobAttempt

Start = Callable[[str], subprocess.Popen[bytes]]


def enqueue(app: Flask, task: str, **payload: object) -> str:
    with app.app_context():
        return jobs.enqueue(task, payload)


def started(app: Flask, start: Start, *kinds: str) -> list[subprocess.Popen[bytes]]:
    """Start processes, the worker first, and wait until a job has gone through."""
    processes = [start(kind) for kind in kinds]
    job_id = enqueue(app, "probe.note", subject="warm up")
    assert eventually(lambda: state_of(app, job_id) == "done")
    return processes


def test_a_job_is_done_within_a_moment_of_its_commit(app: Flask, start: Start) -> None:
    started(app, start, "worker")
    begun = time.monotonic()
    job_id = enqueue(app, "probe.note", subject="quick")
    assert eventually(lambda: state_of(app, job_id) == "done")
    assert time.monotonic() - begun < 2
    assert notes(app, "quick") == 1


def test_a_worker_stops_in_order_when_it_is_told(app: Flask, start: Start) -> None:
    (worker,) = started(app, start, "worker")
    job_id = enqueue(app, "probe.sleep", subject="nap", seconds=1)
    assert eventually(lambda: notes(app, "began nap") == 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert state_of(app, job_id) == "done"


def test_a_killed_worker_leaves_no_process_behind(app: Flask, start: Start) -> None:
    (worker,) = started(app, start, "worker")
    children = children_of(worker.pid)
    assert len(children) == 2
    worker.kill()
    assert eventually(lambda: not any(alive(pid) for pid in children), 5)


def test_a_hung_task_is_ended_at_its_limit_and_its_neighbours_are_not_late(app: Flask, start: Start) -> None:
    started(app, start, "worker")
    hung = enqueue(app, "probe.hang", subject="hang", seconds=60)
    assert eventually(lambda: notes(app, "began hang") == 1)
    neighbour = enqueue(app, "probe.note", subject="neighbour")
    assert eventually(lambda: state_of(app, neighbour) == "done", 5)
    assert eventually(lambda: "longer than its limit of 1 s" in (job_of(app, hung).error or ""), 10)


def test_a_task_that_kills_its_worker_is_a_dead_letter_after_three_starts(app: Flask, start: Start) -> None:
    started(app, start, "worker", "scheduler")
    poison = enqueue(app, "probe.kill_worker_inside")
    for count in range(1, 4):
        assert eventually(lambda n=count: attempt_count(app, poison) == n, 20)
        neighbour = enqueue(app, "probe.note", subject="neighbour")
        assert eventually(lambda n=neighbour: state_of(app, n) == "done", 30)
        hurry(app, poison)
    assert eventually(lambda: state_of(app, poison) == "dead", 20)
    assert (notes(app, "half done"), notes(app, "neighbour")) == (0, 3)


def test_a_job_whose_plugin_was_taken_away_is_a_dead_letter_at_once(app: Flask, start: Start) -> None:
    started(app, start, "worker")
    left = enqueue(app, "gone.task")
    assert eventually(lambda: state_of(app, left) == "dead", 5)


@pytest.mark.slow
def test_the_death_of_a_worker_is_noticed_within_30_s(app: Flask, start: Start) -> None:
    worker, _ = started(app, start, "worker", "scheduler")
    job_id = enqueue(app, "probe.sleep", subject="long", seconds=50)
    assert eventually(lambda: notes(app, "began long") == 1)
    end_group(worker)
    begun = time.monotonic()
    assert eventually(lambda: state_of(app, job_id) != "running", 40)
    assert time.monotonic() - begun < 30


def test_a_long_task_keeps_its_lease(app: Flask, start: Start) -> None:
    started(app, start, "worker", "scheduler")
    job_id = enqueue(app, "probe.sleep", subject="long", seconds=7)
    assert eventually(lambda: notes(app, "began long") == 1)
    first = job_of(app, job_id).lease_until or 0
    assert eventually(lambda: (job_of(app, job_id).lease_until or 0) > first + 4_000, 10)
    assert eventually(lambda: state_of(app, job_id) == "done", 10)
    assert attempt_count(app, job_id) == 1


def test_ticks_become_jobs_once_each(app: Flask, start: Start) -> None:
    started(app, start, "worker", "scheduler", "scheduler")
    assert eventually(lambda: notes(app, "tick") >= 3, 15)
    with app.app_context():
        daily = select(func.count()).select_from(Job).where(Job.key == "beat:probe.daily")
        often = select(Job.created_at).where(Job.key == "beat:probe.often").order_by(Job.created_at)
        assert db.session.execute(daily).scalar_one() == 1
        moments = db.session.execute(often).scalars().all()
    assert all(later - earlier >= 1_800 for earlier, later in pairwise(moments))


def test_a_restarted_scheduler_repeats_nothing(app: Flask, start: Start) -> None:
    _, scheduler = started(app, start, "worker", "scheduler")
    assert eventually(lambda: notes(app, "tick") >= 2, 15)
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait(10) == 0
    start("scheduler")
    before = notes(app, "tick")
    assert eventually(lambda: notes(app, "tick") > before, 15)
    with app.app_context():
        daily = select(func.count()).select_from(Job).where(Job.key == "beat:probe.daily")
        assert db.session.execute(daily).scalar_one() == 1


def test_living_workers_and_schedulers_are_known(app: Flask, start: Start) -> None:
    started(app, start, "worker", "scheduler")
    with app.app_context():
        assert eventually(lambda: health.check_worker() is None, 10)
        assert eventually(lambda: health.check_scheduler() is None, 10)


def test_jobs_made_while_the_broker_is_stopped_run_when_it_is_back(app: Flask, start: Start, broker: Broker) -> None:
    started(app, start, "worker", "scheduler")
    broker.stop()
    begun = time.monotonic()
    made = [enqueue(app, "probe.note", subject="away") for _ in range(5)]
    assert time.monotonic() - begun < 2
    broker.start()
    assert eventually(lambda: all(state_of(app, job_id) == "done" for job_id in made), 30)
    assert notes(app, "away") == 5


def test_jobs_made_while_the_broker_is_frozen_run_when_it_thaws(app: Flask, start: Start, broker: Broker) -> None:
    started(app, start, "worker", "scheduler")
    broker.send_signal(signal.SIGSTOP)
    slowest = 0.0
    for _ in range(10):
        begun = time.monotonic()
        enqueue(app, "probe.note", subject="frozen")
        slowest = max(slowest, time.monotonic() - begun)
    broker.send_signal(signal.SIGCONT)
    assert slowest < 1.5  # it would wait until the broker thaws
    assert eventually(lambda: notes(app, "frozen") == 10, 30)


def test_jobs_survive_that_the_broker_is_emptied(app: Flask, start: Start, broker: Broker) -> None:
    (worker,) = started(app, start, "worker")
    end_group(worker)
    made = [enqueue(app, "probe.note", subject="emptied") for _ in range(5)]
    time.sleep(0.5)
    app.extensions["pilothouse"].redis.flushall()
    start("worker")
    start("scheduler")
    assert eventually(lambda: all(state_of(app, job_id) == "done" for job_id in made), 30)
    assert notes(app, "emptied") == 5


def attempt_count(app: Flask, job_id: str) -> int:
    with app.app_context():
        found = select(func.count()).select_from(JobAttempt).where(JobAttempt.job_id == job_id)
        return int(db.session.execute(found).scalar_one())


def hurry(app: Flask, job_id: str) -> None:
    """Let the lease of a job end now, and its pause be short: the test need not wait for 20 s each time."""
    assert eventually(lambda: state_of(app, job_id) == "running", 20)
    time.sleep(0.3)
    with app.app_context(), unit_of_work() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=clock.now() - 1))
    assert eventually(lambda: state_of(app, job_id) != "running", 10)
    with app.app_context(), unit_of_work() as session:
        session.execute(update(Job).where(Job.id == job_id).values(due_at=clock.now()))


def children_of(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
