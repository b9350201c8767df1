"""What the tests of telemetry share: a plugin that counts runs, an application with it, makers of events and runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from flask import Flask

from pilothouse import clock
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.recording import Measure
from pilothouse.db import unit_of_work
from pilothouse.measures import Deltas
from pilothouse.plugins.discovery import Candidate
from pilothouse.testing import environment, make_app

NOON = 1_790_000_000_000 // clock.DAY * clock.DAY + 12 * clock.HOUR  # a Monday in September 2026, UTC


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


def build(folder: Path, url: str, plugins: list[Candidate] | None = None) -> Flask:
    """Build the application."""
    wanted = [telemetry_plugin(), runs_plugin()] if plugins is None else plugins
    return make_app(environment(folder, PILOTHOUSE_DATABASE_URL=url), wanted)


def event(at: int | None = NOON, **fields: Any) -> dict[str, Any]:
    """Make an event signal at a moment (ms)."""
    made = {"type": "event", "id": clock.new_id(), "name": "report.opened", **fields}
    return made if at is None else {**made, "at": at}


def count_runs(*runs: tuple[int, str, str], ms: int | None = None, cost: int | None = None) -> None:
    """Count runs of (at, workflow, status), each with a duration in ms and a cost in nano-dollars where one is given."""
    with unit_of_work() as session:
        deltas = Deltas()
        for at, workflow, status in runs:
            deltas.add("executions.count", at, (workflow, status, "robot"))
            if ms is not None:
                deltas.add("executions.duration_ms", at, (workflow, status, "robot"), value=ms * 1_000)
            if cost is not None:
                deltas.add("tokens.cost_usd", at, ("gpt-5", workflow, "robot"), total=cost)
                deltas.add("tokens.prompt", at, ("gpt-5", workflow, "robot"), total=100)
        deltas.write(session.connection())
