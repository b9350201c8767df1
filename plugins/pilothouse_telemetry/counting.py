"""What an event adds to the measures, in the minute it happened."""

from __future__ import annotations

from typing import Any

from pilothouse.sdk import Measure, MeasureSink

COUNT, DURATION = "events.count", "events.duration_ms"
MICROSECONDS = 1_000  # durations are kept as whole microseconds
FAILED = "false"  # the value of the dimension `ok` for an event that went wrong

MEASURES = (
    Measure(COUNT, "Events", "1", "count", ("component", "name", "ok")),
    Measure(DURATION, "Duration of events", "ms", "distribution", ("component", "name"), scale=MICROSECONDS),
)


def add(measures: MeasureSink, signal: Any, at: int) -> None:
    """Add an event that happened at `at` (ms)."""
    ok = None if signal.ok is None else str(signal.ok).lower()
    measures.add(COUNT, at, (signal.component, signal.name, ok))
    if signal.duration_ms is not None:
        measures.add(DURATION, at, (signal.component, signal.name), value=round(signal.duration_ms * MICROSECONDS))
