"""A plugin that declares measures of every kind, and what the tests of measures share."""

from __future__ import annotations

from types import ModuleType

from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.recording import Measure
from pilothouse.db import db, unit_of_work
from pilothouse.measures import Deltas
from pilothouse.plugins.discovery import Candidate

CALLS, COST, TOOK, PEOPLE, PINGS = "trial.calls", "trial.cost_usd", "trial.took_ms", "trial.people", "pings.count"
DIMENSIONS = ("model", "agent", "status")


def trial_plugin() -> Candidate:
    """Make the plugin."""

    @hookimpl
    def pilothouse_manifest() -> Manifest:
        return Manifest("trial", "Trial", "Measures to try.")

    @hookimpl
    def pilothouse_measures() -> list[Measure]:
        return [
            Measure(CALLS, "Calls", "1", "count", DIMENSIONS, cuts=(("status", "model"),)),
            Measure(COST, "Cost", "USD", "sum", DIMENSIONS, scale=1_000_000_000),
            Measure(TOOK, "Duration", "ms", "distribution", ("model", "status"), scale=1_000),
            Measure(PEOPLE, "People", "1", "distinct", ("model",)),
            Measure(PINGS, "Pings", "1", "count", ("host",)),
        ]

    module = ModuleType("trial")
    module.pilothouse_manifest = pilothouse_manifest
    module.pilothouse_measures = pilothouse_measures
    return Candidate("trial", module, "trial")


def added(*entries, **options):
    """Add (measure, at, dimensions) entries in one transaction."""
    with unit_of_work() as session:
        deltas = Deltas()
        for measure, at, dimensions in entries:
            deltas.add(measure, at, dimensions, **options)
        deltas.write(session.connection())


def seen(at, *people, model="a"):
    """Note people in one transaction."""
    with unit_of_work() as session:
        deltas = Deltas()
        for person in people:
            deltas.see(PEOPLE, at, (model,), person)
        deltas.write(session.connection())


def number_of(table):
    """Count a table's rows."""
    found = db.session.scalar(db.text(f"SELECT count(*) FROM {table}"))
    db.session.rollback()
    return found
