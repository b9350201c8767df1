"""An application with telemetry and a plugin that counts runs, on a clock that stands still; callers and makers of events."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from pilothouse import clock
from pilothouse.db import unit_of_work
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


@pytest.fixture
def app(migrated: Path, tmp_path: Path, now: Time) -> Iterator[Flask]:
    """Build the application on SQLite, inside its application context."""
    shutil.copy(migrated, tmp_path / "pilothouse.db")
    made = build(tmp_path, f"sqlite:///{tmp_path}/pilothouse.db")
    with made.app_context():
        yield made
    let_go(made)


@pytest.fixture
def either(database_url: str, tmp_path: Path, now: Time) -> Iterator[Api]:
    """Build the application on either database and return a program that may do everything."""
    made = build(tmp_path, database_url)
    with made.app_context():
        with unit_of_work():
            token = create_token("test", ["ingest", "read", "write"])[1]
        yield Api(made.test_client(), token)
    let_go(made)


@pytest.fixture
def browser(app: Flask) -> Any:
    """Return a browser that is signed in as an owner."""
    client: Any = app.test_client()
    client.set_cookie("pilothouse_session", open_browser_session("owner"))
    return client
