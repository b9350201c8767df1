"""Secrets, card numbers, NUL and lone surrogates leave signals before they are handed on.

Signals are encoded once and looked through as a whole; only where there is something to clean they are walked.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from pilothouse.sdk import Signal, clean, clean_text, needs_cleaning

AnySignal = TypeVar("AnySignal", bound=Signal)

IDS = frozenset({"id", "execution_id", "parent_id", "step_id", "response_id"})  # two of them must never become one
CHUNK = 500  # signals that are looked through together: one dirty signal makes its neighbours be looked at again


def scrub(items: list[tuple[int, Signal]]) -> list[tuple[int, Signal]]:
    """Return the signals with their places, cleaned."""
    cleaned: list[tuple[int, Signal]] = []
    for start in range(0, len(items), CHUNK):
        chunk = items[start : start + CHUNK]
        if needs_cleaning(msgspec.json.encode([signal for _, signal in chunk])):
            chunk = [(place, scrub_signal(signal)) for place, signal in chunk]
        cleaned += chunk
    return cleaned


def scrub_signal(signal: AnySignal) -> AnySignal:
    """Return one signal cleaned; the same one where there is nothing to clean."""
    if not needs_cleaning(msgspec.json.encode(signal)):
        return signal
    changes: dict[str, Any] = {}
    for name in signal.__struct_fields__:
        value = getattr(signal, name)
        if isinstance(value, str) and name not in IDS:
            changes[name] = clean_text(value)
        elif isinstance(value, msgspec.Raw) and bytes(value):
            changes[name] = _clean_raw(value)
    return msgspec.structs.replace(signal, **changes)


def _clean_raw(value: Any) -> msgspec.Raw:
    cleaned = clean(json.loads(bytes(value)))
    return msgspec.Raw(json.dumps(cleaned, ensure_ascii=False, separators=(",", ":")).encode())
