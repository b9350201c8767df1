"""What a model call adds to the measures: its tokens and its cost in the minute of the call.

A row that changes (it is priced anew, or its parts become known) takes back what it added before, so sums over the
measures always equal a count of the rows. The number of calls is the count of the prompt tokens' measure, that of priced
calls the count of the cost's.

There are two scopes, since roll-ups exist for the values that come together: users by models by workflows would be as many
sums as there are calls. What is asked of users and keys is summed by itself, where a call names one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import NANO, Measure, MeasureSink

PARTS: Mapping[str, str] = {
    "prompt": "Prompt tokens",
    "completion": "Completion tokens",
    "cost_usd": "Spend",
    "cached": "Prompt tokens read from a cache",
    "cache_write": "Prompt tokens written to a cache",
    "reasoning": "Reasoning tokens",
}
WORK, CALLERS = "tokens", "token_callers"  # the scopes
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    WORK: ("model", "provider", "agent", "workflow"),
    CALLERS: ("user", "key"),
}
CUTS = (("model", "workflow"),)  # of the export
COST = f"{WORK}.cost_usd"


def measures() -> list[Measure]:
    """Return the measures of both scopes."""
    return [_measure(part, title, scope) for scope in DIMENSIONS for part, title in PARTS.items()]


def scope_of(dimension: str) -> str:
    """Return the scope that knows a dimension."""
    return CALLERS if dimension in DIMENSIONS[CALLERS] else WORK


def add(sink: MeasureSink, row: Mapping[str, Any]) -> None:
    """Add a row of usage."""
    _apply(sink, row, 1)


def take_back(sink: MeasureSink, row: Mapping[str, Any]) -> None:
    """Take back what a row added."""
    _apply(sink, row, -1)


def _measure(part: str, title: str, scope: str) -> Measure:
    unit, scale = ("USD", NANO) if part == "cost_usd" else ("tokens", 1)
    if scope == WORK:
        return Measure(f"{scope}.{part}", title, unit, "sum", DIMENSIONS[scope], scale, CUTS)
    return Measure(f"{scope}.{part}", f"{title}, by user and key", unit, "sum", DIMENSIONS[scope], scale)


def _apply(sink: MeasureSink, row: Mapping[str, Any], sign: int) -> None:
    _apply_scope(sink, WORK, (row["model"], row["provider"], row["agent"], row["workflow"]), (row, sign))
    if row["user"] or row["key_id"]:
        _apply_scope(sink, CALLERS, (row["user"], row["key_id"]), (row, sign))


def _apply_scope(
    sink: MeasureSink, scope: str, values: tuple[str | None, ...], signed: tuple[Mapping[str, Any], int]
) -> None:
    row, sign = signed
    at = row["at"]
    sink.add(f"{scope}.prompt", at, values, count=sign, total=sign * row["prompt_tokens"])
    sink.add(f"{scope}.completion", at, values, count=sign, total=sign * row["completion_tokens"])
    if row["cost_nano"] is not None:
        sink.add(f"{scope}.cost_usd", at, values, count=sign, total=sign * row["cost_nano"])
    for part in ("cached", "cache_write", "reasoning"):
        if tokens := row[f"{part}_tokens"]:
            sink.add(f"{scope}.{part}", at, values, count=sign, total=sign * tokens)
