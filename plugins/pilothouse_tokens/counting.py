"""What a model call adds to the measures: its tokens and its cost in the minute of the call.

A row that changes (it is priced anew, or its parts become known) takes back what it added before, so sums over the
measures always equal a count of the rows. The number of calls is the count of `tokens.prompt`, that of priced calls the
count of `tokens.cost_usd`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import NANO, Measure, MeasureSink

PROMPT, COMPLETION, COST = "tokens.prompt", "tokens.completion", "tokens.cost_usd"
CACHED, CACHE_WRITE, REASONING = "tokens.cached", "tokens.cache_write", "tokens.reasoning"
DIMENSIONS = ("model", "provider", "agent", "workflow", "user", "key")

MEASURES = (
    Measure(PROMPT, "Prompt tokens", "tokens", "sum", DIMENSIONS),
    Measure(COMPLETION, "Completion tokens", "tokens", "sum", DIMENSIONS),
    Measure(COST, "Spend", "USD", "sum", DIMENSIONS, scale=NANO),
    Measure(CACHED, "Prompt tokens read from a cache", "tokens", "sum", DIMENSIONS),
    Measure(CACHE_WRITE, "Prompt tokens written to a cache", "tokens", "sum", DIMENSIONS),
    Measure(REASONING, "Reasoning tokens", "tokens", "sum", DIMENSIONS),
)
_PARTS = ((CACHED, "cached_tokens"), (CACHE_WRITE, "cache_write_tokens"), (REASONING, "reasoning_tokens"))


def add(measures: MeasureSink, row: Mapping[str, Any]) -> None:
    """Add a row of usage."""
    _apply(measures, row, 1)


def take_back(measures: MeasureSink, row: Mapping[str, Any]) -> None:
    """Take back what a row added."""
    _apply(measures, row, -1)


def _apply(measures: MeasureSink, row: Mapping[str, Any], sign: int) -> None:
    at = row["at"]
    values = (row["model"], row["provider"], row["agent"], row["workflow"], row["user"], row["key_id"])
    measures.add(PROMPT, at, values, count=sign, total=sign * row["prompt_tokens"])
    measures.add(COMPLETION, at, values, count=sign, total=sign * row["completion_tokens"])
    if row["cost_nano"] is not None:
        measures.add(COST, at, values, count=sign, total=sign * row["cost_nano"])
    for measure, part in _PARTS:
        if row[part]:
            measures.add(measure, at, values, count=sign, total=sign * row[part])
