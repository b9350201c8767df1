"""Kills at random moments: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import pytest
import work_probe
from flask import Flask
from sqlalchemy import func, select
from up_parts import Up, free_port, pilothouse
from work_parts import end_group, eventually

from pilothouse.db import db
from pilothouse.work import dead_letters, jobs
from pilothouse.work.models import UNFINISHED, Job, JobAttempt

JOBS = 5  # new ones before each kill; each has SQLite's only writer for 20 ms
BATCH = 50  # signals a request, ten times a second: 500 records a second

FEW = pytest.param(6)
MANY = pytest.mark.kill, pytest.mark.slow


@pytest.mark.parametrize("kills", [FEW, pytest.param(500, marks=MANY)])
def test_killed_workers_do_each_job_once(
    app: Flask, start: Callable[[str], subprocess.Popen[bytes]], kills: int
) -> None:
    start("scheduler")
    worker = start("worker")
    for number in range(kills):
        before = started(app)
        with app.app_context():
            jobs.enqueue_many([new_job(number, place) for place in range(JOBS)])
        assert eventually(lambda before=before: started(app) > before), number  # a worker that still boots has no work to lose
        time.sleep(random.uniform(0.0, 0.3))
        worker = kill_some_of(worker, start)
    assert eventually(lambda: settle(app) == 0, 120), settle(app)
    with app.app_context():
        subjects = select(work_probe.ProbeNote.subject).where(work_probe.ProbeNote.subject.like("kill%"))
        done = db.session.execute(subjects).scalars().all()
    assert len(done) == len(set(done)) == kills * JOBS


@pytest.mark.parametrize("kills", [FEW, pytest.param(200, marks=MANY)])
def test_killed_processes_lose_no_acknowledged_signal(kills: int) -> None:
    with tempfile.TemporaryDirectory(prefix="ph", ignore_cleanup_errors=True) as name:
        up = Up(Path(name) / "data", free_port())
        sender = Sender(up)
        try:
            for _ in range(kills):
                time.sleep(random.uniform(0.2, 1.5))
                kind = random.choice(("web", "worker", "valkey-server", "scheduler"))
                child = up.children().get(kind)
                if child is not None:
                    child.kill()
            acknowledged = sender.stop()
            assert eventually(lambda: up.status("/readyz") == 200, 60)
        finally:
            up.stop()
        stored = query(up.folder / "pilothouse.db", "SELECT id FROM executions WHERE id LIKE 'kill-%'")
    assert len(acknowledged) > 0
    assert set(acknowledged) <= stored


class Sender:
    """Sends executions, ten batches a second, each until it is acknowledged; keeps the ids of those that were."""

    def __init__(self, up: Up) -> None:
        self.url = f"{up.url}/api/ingest"
        self.token = pilothouse(up.folder, "token", "create", "kills", "--scope", "ingest").stdout.strip()
        self.acknowledged: list[str] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        number = 0
        while not self.over.wait(0.1):
            ids = [f"kill-{number}-{place}" for place in range(BATCH)]
            number += 1
            while not self.send(ids) and not self.over.is_set():
                time.sleep(0.1)

    def send(self, ids: list[str]) -> bool:
        signals = [{"type": "execution", "id": one, "workflow": "kill", "status": "running"} for one in ids]
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = Request(self.url, json.dumps({"signals": signals}).encode(), headers)
        try:
            with urlopen(request, timeout=10) as answer:
                told = json.load(answer)
        except (HTTPException, URLError, OSError, ValueError):  # HTTPException: it was killed in the middle of its answer
            return False
        assert told["rejected"] == []
        self.acknowledged += ids
        return True

    def stop(self) -> list[str]:
        self.over.set()
        self.thread.join(20)
        return self.acknowledged


def new_job(number: int, place: int) -> jobs.NewJob:
    return jobs.NewJob("probe.note", {"subject": f"kill {number}.{place}", "slowly_s": 0.02})


def started(app: Flask) -> int:
    """Return how many jobs were taken by a worker so far."""
    with app.app_context():
        return int(db.session.execute(select(func.count()).select_from(JobAttempt)).scalar_one())


def kill_some_of(
    worker: subprocess.Popen[bytes], start: Callable[[str], subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """Kill one process of the pool, or the whole worker and start another; return the one that runs then."""
    children = psutil.Process(worker.pid).children()
    if children and random.random() < 0.5:
        os.kill(random.choice(children).pid, signal.SIGKILL)
        return worker
    end_group(worker)
    return start("worker")


def settle(app: Flask) -> int:
    """Replay what was killed three times by chance, and return how many jobs are not done yet."""
    with app.app_context():
        for job in dead_letters.newest(100):
            dead_letters.replay(job.id)
        unfinished = select(func.count()).select_from(Job).where(Job.state.in_(UNFINISHED), Job.key.is_(None))
        return int(db.session.execute(unfinished).scalar_one())


def query(path: Path, sql: str) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {row[0] for row in connection.execute(sql)}
    finally:
        connection.close()
