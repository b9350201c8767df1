"""An application with telemetry and a plugin that counts runs, on a clock that stands still; callers and makers of events."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

from pilothouse import clock
from pilothouse.contract.contributions import Manifest, Measure
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.db import unit_of_work
from pilothouse.identity.access_tokens import create_token
from pilothouse.plugins.discovery import Candidate
from pilothouse.testing import Api, environment, let_go, make_app, open_browser_session

sys.path.insert(0, str(Path(__file__).parent))  # the tests of this folder share a module

from parts import NOON

RUN = ("workflow", "status", "agent")


def runs_plugin() -> Candidate:
    """Make a plugin that declares the measures of runs and of what calls cost, as executions and tokens do."""

    @hookimpl
    def pilothouse_manifest() -> Manifest:
        return Manifest("runs", "Runs", "Runs and what they cost.")

    @hookimpl
    def pilothouse_measures() -> list[Measure]:
        return [
            Measure("executions.count", "Executions", "1", "count", RUN, cuts=(("workflow", "status"),)),
            Measure("executions.duration_ms", "Duration", "ms", "distribution", RUN, scale=1_000),
            Measure("tokens.cost_usd", "Spend", "USD", "sum", ("model", "workflow", "agent"), scale=1_000_000_000),
            Measure("tokens.prompt", "Prompt tokens", "tokens", "sum", ("model", "workflow", "agent")),
            Measure("tokens.completion", "Completion tokens", "tokens", "sum", ("model", "workflow", "agent")),
        ]

    module = ModuleType("runs")
    module.pilothouse_manifest = pilothouse_manifest  # type: ignore[attr-defined]
    module.pilothouse_measures = pilothouse_measures  # type: ignore[attr-defined]
    return Candidate("runs", module, "runs")


def telemetry_plugin() -> Candidate:
    """Return the telemetry plugin."""
    return Candidate("telemetry", import_module("pilothouse_telemetry.plugin"), "pilothouse")


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


def build(folder: Path, url: str, plugins: list[Candidate] | None = None) -> Flask:
    """Build the application."""
    wanted = [telemetry_plugin(), runs_plugin()] if plugins is None else plugins
    return make_app(environment(folder, PILOTHOUSE_DATABASE_URL=url), wanted)


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
