"""An application with telemetry and a plugin that counts runs, on a clock that stands still; callers and makers of events."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.conftest import MigratedPostgres

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.identity.access_tokens import create_token
from pilothouse.testing import Api, let_go, open_browser_session

sys.path.insert(0, str(Path(__file__).parent))  # the tests of this folder share a module

from telemetry_parts import NOON, build


class Time:
    """The time of day, which tests move."""

    def __init__(self) -> None:
        self.at = NOON + 30_000

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def now() -> Iterator[Time]:
    """Stop the clock half a minute past noon."""
    time = Time()
    with clock.replaced(time):
        yield time


@pytest.fixture(scope="module")
def kept(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """Build the application on SQLite for a whole module."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(migrated, folder / "pilothouse.db")
    made = build(folder, f"sqlite:///{folder}/pilothouse.db")
    made.extensions["pilothouse"].reporter.close()  # its own requests would be events of the next test, too
    yield made
    let_go(made)


@pytest.fixture
def app(kept: Flask, migrated: Path, now: Time) -> Iterator[Flask]:
    """Return the module's application on SQLite, as it was migrated, inside its application context."""
    with kept.app_context():
        restore(kept, migrated)
        yield kept
        db.session.remove()


@pytest.fixture(scope="module")
def kept_on_postgres(migrated_postgres: MigratedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """Build the application on PostgreSQL for a whole module, and leave it empty."""
    made = build(tmp_path_factory.mktemp("kept"), migrated_postgres.url)
    made.extensions["pilothouse"].reporter.close()  # its own requests would be events of the next test, too
    yield made
    let_go(made)
    migrated_postgres.empty()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def either(request: pytest.FixtureRequest, migrated: Path, now: Time) -> Iterator[Api]:
    """Return a program that may do everything, with the module's application on either database, as it was migrated."""
    made = request.getfixturevalue("kept" if request.param == "sqlite" else "kept_on_postgres")
    with made.app_context():
        if request.param == "sqlite":
            restore(made, migrated)
        else:
            request.getfixturevalue("migrated_postgres").empty()
        with unit_of_work():
            token = create_token("test", ["ingest", "read", "write"])[1]
        yield Api(made.test_client(), token)
        db.session.remove()


def restore(app: Flask, migrated: Path) -> None:
    """Put back the database of an application on SQLite as it was migrated."""
    own_file = app.extensions["pilothouse"].settings.data_dir / migrated.name
    with closing(sqlite3.connect(migrated)) as fresh, closing(sqlite3.connect(own_file)) as own:
        fresh.backup(own)


@pytest.fixture
def browser(app: Flask) -> Any:
    """Return a browser that is signed in as an owner."""
    client: Any = app.test_client()
    client.set_cookie("pilothouse_session", open_browser_session("owner"))
    return client
