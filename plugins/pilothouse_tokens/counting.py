"""What a model call adds to the measures: its tokens and its cost in the minute of the call.

A row that changes (it is priced anew, or its parts become known) takes back what it added before, so sums over the
measures always equal a count of the rows. What pages show comes from the plugin's own roll-ups (`rollups`), which also
know users and keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import NANO, Measure, MeasureSink

PROMPT, COMPLETION, COST = "tokens.prompt", "tokens.completion", "tokens.cost_usd"
DIMENSIONS = ("model", "provider", "agent", "workflow")

MEASURES = (
    Measure(PROMPT, "Prompt tokens", "tokens", "sum", DIMENSIONS),
    Measure(COMPLETION, "Completion tokens", "tokens", "sum", DIMENSIONS),
    Measure(COST, "Spend", "USD", "sum", DIMENSIONS, scale=NANO),
)


def add(measures: MeasureSink, row: Mapping[str, Any]) -> None:
    """Add a row."""
    _apply(measures, row, 1)


def take_back(measures: MeasureSink, row: Mapping[str, Any]) -> None:
    """Take back what a row added."""
    _apply(measures, row, -1)


def _apply(measures: MeasureSink, row: Mapping[str, Any], sign: int) -> None:
    dimensions = (row["model"], row["provider"], row["agent"], row["workflow"])
    at = row["at"]
    measures.add(PROMPT, at, dimensions, count=sign, total=sign * row["prompt_tokens"])
    measures.add(COMPLETION, at, dimensions, count=sign, total=sign * row["completion_tokens"])
    if row["cost_nano"] is not None:
        measures.add(COST, at, dimensions, count=sign, total=sign * row["cost_nano"])
