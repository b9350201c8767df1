"""Large stores for benchmarks, filled through ingest itself, so that rows, roll-ups and indexes are those of real use."""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask

from pilothouse import clock, migrate
from pilothouse.contract.recording import Source
from pilothouse.db import db
from pilothouse.runtime import runtime
from pilothouse.signals import Error, Execution, raw
from pilothouse.testing import environment, make_app
from pilothouse.work.runner import drain

CHUNK = 5_000
SPAN = 60 * clock.DAY


_made: dict[tuple[int, bool], tuple[Flask, Path]] = {}


@contextmanager
def filled(rows: int, *, errors: bool = True) -> Iterator[tuple[Flask, Path]]:
    """Yield an application on a SQLite file with `rows` executions and, asked for, as many errors; compacted.

    Stores are made once a process: a million executions and errors take half an hour.
    """
    found = _made.get((rows, errors))
    if found is None:
        folder = Path(tempfile.mkdtemp(prefix="ph-filled-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        app = make_app(environment(folder))
        with app.app_context():
            migrate.upgrade()
            fill(rows, errors=errors)
        compact(app)
        found = _made[rows, errors] = app, folder
    with found[0].app_context():
        yield found
        db.session.remove()
        db.engine.dispose()


def fill(rows: int, *, errors: bool) -> None:
    """Send executions, and errors of them, through ingest, in the order in which they began."""
    chance, begun = random.Random(1), clock.now() - SPAN
    for start in range(0, rows, CHUNK):
        numbers = range(start, min(start + CHUNK, rows))
        runs = [_execution(chance, begun + number * SPAN // rows) for number in numbers]
        runtime().ingest.submit(enumerate(runs), Source(client="bench"))
        if errors:
            found = [_error(run, chance) for run in runs]
            runtime().ingest.submit(enumerate(found), Source(client="bench"))


def compact(app: Flask) -> None:
    """Run the scheduled work until nothing is left of it, and let the planner know the tables."""
    from pilothouse.work import schedule

    with app.app_context():
        names = [entry.name for entry in schedule.entries() if "compact" in entry.name]
    for _ in range(2_000):
        with app.app_context():
            before = runtime().registry.task("core.compact_measures")
            assert before is not None
        for name in names:
            with app.app_context():
                schedule.tick(name)
        if drain(app) == 0:
            break
    with app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")


def _execution(chance: random.Random, at: int) -> Execution:
    status = chance.choices(("succeeded", "failed", "running", "cancelled"), (93, 5, 0.1, 1.9))[0]
    return Execution(
        id=clock.new_id(), workflow=f"workflow-{int(chance.paretovariate(1.1)) % 40}", status=status, started_at=at,  # type: ignore[arg-type]
        finished_at=None if status == "running" else at + chance.randrange(100, 60_000), trigger="schedule",
        agent=f"agent-{chance.randrange(12)}", user=f"user-{chance.randrange(500)}", environment="production",
        release="2026.11.3", input=raw({"question": "Which orders are late?"}), output=raw({"answer": "Three."}),
    )  # fmt: skip


def _error(run: Execution, chance: random.Random) -> Error:
    kind = chance.choice(("TimeoutError", "KeyError", "ConnectionError", "ValueError"))
    return Error(
        id=clock.new_id(), error_type=kind, message=f"{kind} in step {chance.randrange(30)} after {chance.randrange(9000)} ms",
        at=run.started_at, execution_id=run.id, environment="production",
    )  # fmt: skip
