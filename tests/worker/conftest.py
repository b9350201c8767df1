"""Real parts for the tests of background work: a Valkey on a unix socket, worker and scheduler processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

sys.path.insert(0, str(Path(__file__).parent))  # the tests of this folder share two modules

import work_probe  # noqa: E402
from work_parts import PROGRAM, Broker, end_group, short_folder  # noqa: E402

from pilothouse.db import db  # noqa: E402


@pytest.fixture
def broker() -> Iterator[Broker]:
    with short_folder() as folder:
        found = Broker(folder)
        yield found
        found.stop()


@pytest.fixture
def app(broker: Broker) -> Iterator[Flask]:
    found = work_probe.make_probe_app(broker.folder, broker.url)
    yield found
    found.extensions["pilothouse"].dispatcher.close()
    with found.app_context():
        db.engine.dispose()


@pytest.fixture
def start(broker: Broker, app: Flask) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start workers and schedulers that end with the test."""
    processes: list[subprocess.Popen[bytes]] = []
    database = app.extensions["pilothouse"].settings.database_url

    def start_one(kind: str) -> subprocess.Popen[bytes]:
        log = (broker.folder / f"{kind}{len(processes)}.log").open("wb")
        command = [sys.executable, str(PROGRAM), kind, str(broker.folder), broker.url, database]
        processes.append(subprocess.Popen(command, start_new_session=True, stderr=log, stdout=log))
        log.close()
        return processes[-1]

    yield start_one
    for process in processes:
        end_group(process)
