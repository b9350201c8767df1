"""What an event adds to the measures, in the minute it happened."""

from __future__ import annotations

from typing import Any

from pilothouse.sdk import Measure, MeasureSink

COUNT, DURATION, USERS, SESSIONS = "events.count", "events.duration_ms", "events.users", "events.sessions"
MICROSECONDS = 1_000  # durations are kept as whole microseconds
FAILED = "false"  # the value of the dimension `ok` for an event that went wrong

DIMENSIONS = ("component", "name", "ok")

MEASURES = (
    Measure(COUNT, "Events", "1", "count", DIMENSIONS, cuts=(("component", "ok"),)),
    Measure(DURATION, "Duration of events", "ms", "distribution", DIMENSIONS, scale=MICROSECONDS),
    Measure(USERS, "Users", "1", "distinct", ("component",)),
    Measure(SESSIONS, "Sessions", "1", "distinct"),
)


def add(measures: MeasureSink, signal: Any, at: int) -> None:
    """Add an event that happened at `at` (ms)."""
    dimensions = (signal.component, signal.name, None if signal.ok is None else str(signal.ok).lower())
    measures.add(COUNT, at, dimensions)
    if signal.duration_ms is not None:
        measures.add(DURATION, at, dimensions, value=round(signal.duration_ms * MICROSECONDS))
    if signal.user:
        measures.see(USERS, at, (signal.component,), signal.user)
    if signal.session:
        measures.see(SESSIONS, at, (), signal.session)
