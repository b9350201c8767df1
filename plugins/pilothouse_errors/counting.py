"""What an error adds to the measures: one, in the minute in which it happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import Measure, MeasureSink

COUNT = "errors.count"
DIMENSIONS = ("workflow", "severity", "error_type", "environment")
NEEDED = ("severity", "error_type", "environment", "created_at")

MEASURES = (Measure(COUNT, "Errors", "1", "count", DIMENSIONS),)


def add(measures: MeasureSink, row: Mapping[str, Any], workflow: str | None, *, count: int = 1) -> None:
    """Add an error's row; a count of -1 takes it back."""
    measures.add(COUNT, row["created_at"], (workflow, row["severity"], row["error_type"], row["environment"]), count=count)
