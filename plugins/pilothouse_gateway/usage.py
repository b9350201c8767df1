"""Usage in the providers' own words, brought to one form. What is not told stays unknown; nothing is made up.

OpenAI's figures include their parts; Anthropic's input excludes what was read from and written to its cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_gateway.calls import Used

MOST = 2**53 - 1  # what every JSON reader has exactly
Told = Mapping[str, Any]


def of_openai(told: Any) -> Used | None:
    """Read the usage of chat completions, responses or embeddings; None where none is told."""
    if not isinstance(told, dict):
        return None
    prompt = _first(told, "prompt_tokens", "input_tokens")
    completion = _first(told, "completion_tokens", "output_tokens")
    total = _count(told.get("total_tokens"))
    if prompt is None:
        return None
    if completion is None:  # embeddings have no completion
        completion = max(total - prompt, 0) if total is not None else 0
    inside = _details(told, "prompt_tokens_details", "input_tokens_details")
    outside = _details(told, "completion_tokens_details", "output_tokens_details")
    return _checked(
        Used(
            prompt=prompt, completion=completion, cached=_count(inside.get("cached_tokens")),
            cache_write=_count(inside.get("cache_write_tokens")), reasoning=_count(outside.get("reasoning_tokens")),
        )
    )  # fmt: skip


def of_anthropic(told: Any, *, partial: bool = False) -> Used | None:
    """Read the usage of a message, in a stream the united one of its events; None where none is told."""
    if not isinstance(told, dict):
        return None
    fresh, completion = _count(told.get("input_tokens")), _count(told.get("output_tokens"))
    if fresh is None or completion is None:
        return None
    read, written = _count(told.get("cache_read_input_tokens")), _count(told.get("cache_creation_input_tokens"))
    kinds, outside = _details(told, "cache_creation"), _details(told, "output_tokens_details")
    hour = _count(kinds.get("ephemeral_1h_input_tokens"))
    if written is None and kinds:
        written = (hour or 0) + (_count(kinds.get("ephemeral_5m_input_tokens")) or 0)
    return _checked(
        Used(
            prompt=fresh + (read or 0) + (written or 0), completion=completion, cached=read, cache_write=written,
            cache_write_1h=hour, reasoning=_first(outside, "thinking_tokens", "reasoning_tokens"), partial=partial,
        )
    )  # fmt: skip


def united(before: Told | None, after: Any) -> dict[str, Any]:
    """Unite the usage of two events of a stream: each figure is a running total, so the later one counts."""
    later = after if isinstance(after, dict) else {}
    return {**(before or {}), **{name: value for name, value in later.items() if value is not None}}


def _checked(used: Used) -> Used:
    """Leave out parts that exceed their whole: then the whole is all that can be believed."""
    if (used.cached or 0) + (used.cache_write or 0) > used.prompt or (used.cache_write_1h or 0) > (used.cache_write or 0):
        used = Used(prompt=used.prompt, completion=used.completion, reasoning=used.reasoning, partial=used.partial)
    if (used.reasoning or 0) > used.completion:
        used = Used(
            prompt=used.prompt, completion=used.completion, cached=used.cached, cache_write=used.cache_write,
            cache_write_1h=used.cache_write_1h, partial=used.partial,
        )  # fmt: skip
    return used


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST else None


def _first(told: Told, *names: str) -> int | None:
    return next((found for name in names if (found := _count(told.get(name))) is not None), None)


def _details(told: Told, *names: str) -> Told:
    return next((told[name] for name in names if isinstance(told.get(name), dict)), {})
