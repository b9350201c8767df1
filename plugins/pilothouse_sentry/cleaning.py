"""Secrets and card numbers leave signals before they are handed on: local variables and source lines are full of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from pilothouse.sdk import Signal, clean, clean_text, needs_cleaning

IDS = frozenset({"id", "execution_id", "parent_id", "step_id", "response_id"})  # two of them must never become one


def scrub(items: list[tuple[int, Signal]]) -> list[tuple[int, Signal]]:
    """Return the signals with their places, cleaned; those that hold nothing to clean as they are."""
    return [
        (place, _of_struct(signal) if needs_cleaning(msgspec.json.encode(signal)) else signal) for place, signal in items
    ]


def _of_struct(value: Any) -> Any:
    changes = {name: _of_value(getattr(value, name)) for name in value.__struct_fields__ if name not in IDS}
    return msgspec.structs.replace(value, **changes)


def _of_value(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, msgspec.Raw):
        return _of_raw(value)
    if isinstance(value, dict):
        return clean(value)
    if isinstance(value, list):
        return [_of_value(item) for item in value]
    return _of_struct(value) if isinstance(value, msgspec.Struct) else value


def _of_raw(value: msgspec.Raw) -> msgspec.Raw:
    body = bytes(value)
    if not body:
        return value
    return msgspec.Raw(json.dumps(clean(json.loads(body)), ensure_ascii=False, separators=(",", ":")).encode())
