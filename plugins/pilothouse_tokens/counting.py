"""What a model call adds to the measures: its tokens and its cost in the minute of the call.

A row that changes (it is priced anew, or its parts become known) takes back what it added before, so sums over the
measures always equal a count of the rows. The number of calls is the count of the prompt tokens' measure, that of priced
calls the count of the cost's.

There are two scopes, since roll-ups exist for the values that come together: users by models by workflows would be as many
sums as there are calls. What is asked of users and keys is summed by itself, so that both scopes add up to the same whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pilothouse.sdk import MINUTE, NANO, Measure, MeasureSink

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

Place = tuple[int, tuple[str | None, ...]]  # a minute (ms) and the values of a scope's dimensions
Sums = dict[Place, Sequence[int]]  # calls, tokens by kind, cost in nano-dollars, priced calls
COST = f"{WORK}.cost_usd"


def measures() -> list[Measure]:
    """Return the measures of both scopes."""
    return [_measure(part, title, scope) for scope in DIMENSIONS for part, title in PARTS.items()]


def scope_of(dimension: str) -> str:
    """Return the scope that knows a dimension."""
    return CALLERS if dimension in DIMENSIONS[CALLERS] else WORK


def add(sink: MeasureSink, row: Mapping[str, Any]) -> None:
    """Add a row of usage."""
    add_all(sink, [row])


def add_all(sink: MeasureSink, rows: Iterable[Mapping[str, Any]], sign: int = 1) -> None:
    """Add rows of usage, summed first where they agree in minute and dimensions; a sign of -1 takes them back."""
    work: Sums = {}
    callers: Sums = {}
    for row in rows:
        minute = row["at"] - row["at"] % MINUTE
        cost = row["cost_nano"]
        values = (
            1, row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"], row["cache_write_tokens"],
            row["reasoning_tokens"], cost or 0, 0 if cost is None else 1,
        )  # fmt: skip
        _sum(work, (minute, (row["model"], row["provider"], row["agent"], row["workflow"])), values)
        _sum(callers, (minute, (row["user"], row["key_id"])), values)
    _write(sink, WORK, work, sign)
    _write(sink, CALLERS, callers, sign)


def take_back(sink: MeasureSink, row: Mapping[str, Any]) -> None:
    """Take back what a row added."""
    add_all(sink, [row], -1)


def _measure(part: str, title: str, scope: str) -> Measure:
    unit, scale = ("USD", NANO) if part == "cost_usd" else ("tokens", 1)
    if scope == WORK:
        return Measure(f"{scope}.{part}", title, unit, "sum", DIMENSIONS[scope], scale, CUTS)
    return Measure(f"{scope}.{part}", f"{title}, by user and key", unit, "sum", DIMENSIONS[scope], scale)


def _sum(sums: Sums, place: Place, values: Sequence[int]) -> None:
    known = sums.get(place)
    sums[place] = values if known is None else [have + more for have, more in zip(known, values, strict=True)]


def _write(sink: MeasureSink, scope: str, sums: Sums, sign: int) -> None:
    names = [f"{scope}.{part}" for part in PARTS]
    for (at, dimensions), (calls, prompt, completion, cached, cache_write, reasoning, cost, priced) in sums.items():
        sink.add(names[0], at, dimensions, count=sign * calls, total=sign * prompt)
        sink.add(names[1], at, dimensions, count=sign * calls, total=sign * completion)
        if priced:
            sink.add(names[2], at, dimensions, count=sign * priced, total=sign * cost)
        for name, tokens in ((names[3], cached), (names[4], cache_write), (names[5], reasoning)):
            if tokens:
                sink.add(name, at, dimensions, count=0, total=sign * tokens)
