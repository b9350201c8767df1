"""Makers that the tests of telemetry share."""

from __future__ import annotations

from typing import Any

from pilothouse import clock
from pilothouse.db import unit_of_work
from pilothouse.measures import Deltas

NOON = 1_790_000_000_000 // clock.DAY * clock.DAY + 12 * clock.HOUR  # a Monday in September 2026, UTC


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
