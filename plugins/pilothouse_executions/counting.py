"""What an execution adds to the measures: one run in the minute it started, with the status that it has now.

When a row changes, what it added before is taken back and what it is now is added, so sums over the measures always
equal a count of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import FINAL, Measure, MeasureSink

COUNT, DURATION = "executions.count", "executions.duration_ms"
DIMENSIONS = ("workflow", "status", "agent", "environment")
PAIRS = (("workflow", "status"), ("agent", "status"), ("environment", "status"))
MICROSECONDS = 1_000  # durations are kept as whole microseconds
NEEDED = ("status", "agent", "environment", "sorted_at", "started_at", "finished_at", "workflow_id")

MEASURES = (
    Measure(COUNT, "Executions", "1", "count", DIMENSIONS, cuts=PAIRS),
    Measure(DURATION, "Duration of executions", "ms", "distribution", DIMENSIONS, scale=MICROSECONDS),
)


def add(measures: MeasureSink, row: Mapping[str, Any], workflow: str | None) -> None:
    """Add a row."""
    _apply(measures, row, workflow, 1)


def take_back(measures: MeasureSink, row: Mapping[str, Any], workflow: str | None) -> None:
    """Take back what a row added."""
    _apply(measures, row, workflow, -1)


def _apply(measures: MeasureSink, row: Mapping[str, Any], workflow: str | None, count: int) -> None:
    dimensions = (workflow, row["status"], row["agent"], row["environment"])
    measures.add(COUNT, row["sorted_at"], dimensions, count=count)
    if row["status"] in FINAL and row["started_at"] is not None and row["finished_at"] is not None:
        value = max(row["finished_at"] - row["started_at"], 0) * MICROSECONDS
        measures.add(DURATION, row["sorted_at"], dimensions, count=count, value=value)
