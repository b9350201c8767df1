"""What the tests of background work share: brokers, looks into the database, waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import work_probe
from flask import Flask
from sqlalchemy import func, select

from pilothouse import embedded
from pilothouse.db import db
from pilothouse.work import jobs
from pilothouse.work.models import Job, JobAttempt

PROGRAM = Path(work_probe.__file__)


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """Wait until the condition holds; False where it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


class Broker:
    """A Valkey process of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = embedded.url(folder)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(embedded.command(self.folder), stdin=subprocess.DEVNULL)
        assert eventually(lambda: embedded.answers(self.url), 10)

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="ph", ignore_cleanup_errors=True) as name:
        yield Path(name)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group, and collect it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def state_of(app: Flask, job_id: str) -> str | None:
    """Return the state of a job as it is committed now."""
    with app.app_context():
        return db.session.execute(select(Job.state).where(Job.id == job_id)).scalar()


def job_of(app: Flask, job_id: str) -> Job:
    """Return a job's row as it is committed now."""
    with app.app_context():
        return db.session.execute(select(Job).where(Job.id == job_id)).scalar_one()


def notes(app: Flask, subject: str) -> int:
    """Count what the probe's tasks wrote about a subject."""
    with app.app_context():
        count = select(func.count()).select_from(work_probe.ProbeNote).where(work_probe.ProbeNote.subject == subject)
        return int(db.session.execute(count).scalar_one())


def make(app: Flask, task: str, **payload: object) -> str:
    """Make a job and return its id."""
    with app.app_context():
        return jobs.enqueue(task, payload)


def attempts(app: Flask, job_id: str) -> list[tuple[str | None, str | None]]:
    """Return outcome and reason of each attempt at a job, the first one first."""
    with app.app_context():
        found = select(JobAttempt.outcome, JobAttempt.error).where(JobAttempt.job_id == job_id)
        return [tuple(row) for row in db.session.execute(found.order_by(JobAttempt.id))]
