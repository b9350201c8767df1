"""A small plugin and application for the tests of background work; also run as a program: a worker or a scheduler.

Its one table counts what its tasks did, so that a test can compare what should have happened with what did.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from flask import Flask
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse import broker, clock, logs
from pilothouse.changes import Changes
from pilothouse.contract.events import Reaction
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.work import BeatEntry, Task
from pilothouse.db import Id, Model, db, init_db, unit_of_work
from pilothouse.errors import StoreAway
from pilothouse.plugins.discovery import Candidate
from pilothouse.plugins.registry import build_registry
from pilothouse.plugins.switches import Switches
from pilothouse.runtime import EXTENSION, Runtime
from pilothouse.settings import read_settings
from pilothouse.work.celery_app import make_celery
from pilothouse.work.dispatcher import Dispatcher
from pilothouse.work.events import DeadLetter
from pilothouse.work.mail import Mailer


class ProbeNote(Model):
    """One row for each time that a task did its work."""

    __tablename__ = "probe_notes"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    subject: Mapped[str]


def _note(subject: str) -> None:
    with unit_of_work() as session:
        session.add(ProbeNote(id=clock.new_id(), subject=subject))


def note(payload: Mapping[str, Any]) -> None:
    _note(payload["subject"])
    time.sleep(payload.get("slowly_s", 0))


def kill_worker(payload: Mapping[str, Any]) -> None:
    _note("half done")
    os.kill(os.getpid(), signal.SIGKILL)


def fail(payload: Mapping[str, Any]) -> None:
    _note("half done")
    raise ValueError(payload.get("message", "it cannot be done"))


def sleep(payload: Mapping[str, Any]) -> None:
    _note(f"began {payload['subject']}")
    time.sleep(payload["seconds"])


def outage(payload: Mapping[str, Any]) -> None:
    raise StoreAway("The database does not answer.")


def note_dead_letter(event: DeadLetter) -> None:
    _note(f"dead {event.task} after {event.starts}")


@hookimpl
def pilothouse_manifest() -> Manifest:
    return Manifest("probe", "Probe", "Does odd things to workers.")


@hookimpl
def pilothouse_tasks() -> list[Task]:
    return [
        Task("probe.note", note),
        Task("probe.note_outside", note, transaction=False),
        Task("probe.kill_worker", kill_worker, transaction=False),
        Task("probe.kill_worker_inside", kill_worker),
        Task("probe.fail", fail),
        Task("probe.sleep", sleep, transaction=False),
        Task("probe.hang", sleep, transaction=False, limit_s=1),
        Task("probe.outage", outage),
        Task("probe.tick", lambda _payload: _note("tick")),
    ]


@hookimpl
def pilothouse_beat_schedule() -> list[BeatEntry]:
    return [BeatEntry("probe.often", "probe.tick", every_s=2), BeatEntry("probe.daily", "probe.tick", every_s=86_400)]


@hookimpl
def pilothouse_reactions() -> list[Reaction]:
    return [Reaction("probe.note_dead_letter", DeadLetter, note_dead_letter, when="now")]


def make_probe_app(data_dir: Path, redis_url: str | None, database_url: str = "", smtp_url: str = "") -> Flask:
    """Build an application with the core's work and the probe, and make its tables."""
    settings = read_settings(
        {
            "PILOTHOUSE_DATA_DIR": str(data_dir),
            "PILOTHOUSE_SECRET_KEY": "0" * 32,
            "PILOTHOUSE_REDIS_URL": redis_url or "",
            "PILOTHOUSE_DATABASE_URL": database_url,
            "PILOTHOUSE_SMTP_URL": smtp_url,
        }
    )
    app = Flask("probe")
    init_db(app, settings.database_url)
    registry = build_registry([Candidate("probe", _module())])
    celery = make_celery(app, settings, registry)
    client = broker.connect(redis_url) if redis_url else None
    app.extensions["celery"] = celery
    parts = {
        "settings": settings, "registry": registry, "redis": client, "changes": Changes(client), "celery": celery,
        "dispatcher": Dispatcher(celery if client is not None else None), "switches": Switches(), "mailer": Mailer(settings),
    }  # fmt: skip
    app.extensions[EXTENSION] = Runtime(**{field.name: parts.get(field.name) for field in fields(Runtime)})
    with app.app_context():
        db.metadata.create_all(db.engine)
    return app


def _module() -> ModuleType:
    return sys.modules[__name__]


if __name__ == "__main__":
    kind, folder, url, database = sys.argv[1:5]
    logs.configure(kind, readable=False)
    probe_app = make_probe_app(Path(folder), url, database)
    if kind == "worker":
        from pilothouse.work.worker import run

        sys.exit(run(probe_app.extensions["celery"], 2))
    from pilothouse.work.scheduler import run as run_scheduler

    run_scheduler(probe_app.extensions["celery"])
