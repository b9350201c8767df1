"""Values of attributes: cut to the limits, and read as text or as whole numbers whatever their spelling."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pilothouse_otel.limits import DEEPEST, LONGEST_TEXT, MOST_VALUES

CUT = "…"
TOO_DEEP = "[nested too deep]"
MOST_TOKENS = 9_007_199_254_740_991  # 2**53 - 1, as in signals
EXACT_FLOAT = 2.0**53
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text within a length; what was cut off is marked."""
    return text if len(text) <= longest else text[: longest - 1] + CUT


def number(value: float) -> float | str:
    """Return a number as JSON can hold it: NaN and the infinities become their names."""
    if value != value:  # noqa: PLR0124 - only NaN is not itself
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "Infinity" if value > 0 else "-Infinity"
    return value


def octets(value: bytes) -> str:
    """Return bytes as base64 text."""
    return cut(base64.b64encode(value[:LONGEST_TEXT]).decode())


def bounded(value: Any, depth: int = 0) -> Any:
    """Return a decoded JSON value within the limits."""
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return number(value) if isinstance(value, float) else whole_or_text(value)
    if depth >= DEEPEST:
        return TOO_DEEP
    if isinstance(value, dict):
        return {cut(str(k)): bounded(v, depth + 1) for k, v in list(value.items())[:MOST_VALUES]}
    return [bounded(item, depth + 1) for item in value[:MOST_VALUES]] if isinstance(value, list) else str(value)


def whole_or_text(value: int) -> int | str:
    """Return a whole number as it is within 64 bits, else as text: nobody downstream reads more."""
    return value if -(2**63) <= value < 2**63 else str(value)[:80]


def first_text(attributes: Mapping[str, Any], names: Sequence[str], longest: int = 255) -> str | None:
    """Return the first of the attributes that is there, as text; empty ones count as absent."""
    for name in names:
        value = attributes.get(name)
        if value is None:
            continue
        text = (value if type(value) is str else str(value)).strip()
        if text:
            return text if len(text) <= longest else cut(text, longest)
    return None


def first_whole(attributes: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return the first of the attributes that is a count: not negative, a number or the text of one."""
    for name in names:
        if name in attributes:
            count = whole(attributes[name])
            if count is not None:
                return count
    return None


def whole(value: Any) -> int | None:
    """Read a count, None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit() or len(value) > 16:  # noqa: PLR2004 - the digits of MOST_TOKENS
            return None
        value = int(value)
    if isinstance(value, float):
        if not 0 <= value < EXACT_FLOAT:
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else None


def amount(value: Any) -> float | None:
    """Read an amount of money, None where it is none or negative."""
    if isinstance(value, bool):
        return None
    try:
        parsed = float(value)
    except (TypeError, ValueError):
        return None
    return parsed if 0 <= parsed < EXACT_FLOAT else None


def moment(value: Any) -> int | None:
    """Read a moment in RFC 3339 as Unix ms; without an offset it is UTC. None where it is no moment since 1970."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        at = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        millis = (at - EPOCH) // MILLISECOND
    except (ValueError, OverflowError):
        return None
    return millis if millis >= 0 else None
