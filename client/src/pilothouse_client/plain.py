"""A program's own values as JSON: whatever they are, however large, and without ever raising."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from decimal import Decimal
from typing import Any

# The server's bound on long texts is 65,536; the rest is for the mark that tells of the cut.
MAX_CHARACTERS = 65_000
# The server refuses deep nesting, and nobody reads it.
MAX_DEPTH = 20
# Bounds the work for one value: a graph with shared parts unfolds exponentially.
MAX_NODES = 20_000
_INT64 = 2**63


def text(value: object) -> str:
    """Return `value` as text that JSON and every database take; a broken `__str__` is named, not raised."""
    try:
        raw = value if type(value) is str else str(value)
    except Exception as fault:  # noqa: BLE001 - the value is the program's own: its __str__ may raise anything
        raw = f"<{type(value).__name__}: its text could not be made, {type(fault).__name__}>"
    return _cut(raw.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8"))


def plain(value: object) -> Any:
    """Return `value` as JSON can hold it: containers copied, other objects as their `repr`, too much of it cut."""
    return _bounded(_Copier().copy(value, 0))


def plain_mapping(value: object) -> dict[str, Any]:
    """Return `value` as a JSON object; one that is no mapping or too large becomes the only value of one."""
    copied = plain(value)
    return copied if isinstance(copied, dict) else {"value": copied}


def joined(value: object, more: dict[str, Any]) -> dict[str, Any]:
    """Return attributes that were given, whatever they are, with more of them."""
    return {**plain_mapping(value), **more} if value is not None else more


class _Copier:
    """Copies one value into JSON's types and stops at `MAX_NODES` parts."""

    def __init__(self) -> None:
        self._nodes = 0

    def copy(self, value: object, depth: int) -> Any:
        """Return the copy of `value`, which lies `depth` containers deep."""
        self._nodes += 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float, Decimal)):
            return _number(value)
        if isinstance(value, str):
            return text(value)
        if isinstance(value, (datetime, date)):
            return moment(value)
        if depth >= MAX_DEPTH or self._nodes > MAX_NODES:
            return f"<{type(value).__name__} left out: too deep or too much>"
        return self._container(value, depth)

    def _container(self, value: object, depth: int) -> Any:
        try:
            if isinstance(value, Mapping):
                return {text(key): self.copy(item, depth + 1) for key, item in self._first(value.items())}
            if isinstance(value, (list, tuple, AbstractSet)):
                return [self.copy(item, depth + 1) for item in self._first(value)]
            return text(repr(value))
        except Exception as fault:  # noqa: BLE001 - iteration and __repr__ are the program's own code
            return f"<{type(value).__name__}: could not be read, {type(fault).__name__}>"

    def _first(self, items: Any) -> list[Any]:
        """Return at most as many items as the bound on parts still allows."""
        room = max(0, MAX_NODES - self._nodes)
        return [item for _, item in zip(range(room), items)]


def moment(value: date) -> str:
    """Return a date or time as RFC 3339; a time without a zone is local time."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.astimezone()).isoformat()
    return value.isoformat()


def money(value: object) -> str:
    """Return an amount as a decimal string without an exponent: 1e-07 becomes 0.0000001."""
    try:
        return format(Decimal(str(value)), "f")
    except (ArithmeticError, ValueError):
        return text(value)


def _number(value: float | Decimal) -> Any:
    """Return a number that every JSON reader and a 64-bit column take, else its text."""
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else text(hex(value))
    return float(value) if value - value == 0 else text(float(value))


def _cut(whole: str) -> str:
    if len(whole) <= MAX_CHARACTERS:
        return whole
    return f"{whole[:MAX_CHARACTERS]}… [cut: {len(whole)} characters]"


def _bounded(value: Any) -> Any:
    """Return `value`, or the beginning of its JSON text where that is longer than `MAX_CHARACTERS`."""
    if not isinstance(value, (dict, list)):
        return value
    encoded = json.dumps(value, ensure_ascii=False)
    return value if len(encoded) <= MAX_CHARACTERS else _cut(encoded)
