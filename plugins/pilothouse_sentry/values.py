"""Reading what an SDK wrote: JSON of every quality into plain values within the limits, and single figures out of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from pilothouse.sdk import DAY, Malformed, parse_id
from pilothouse_sentry.limits import DEEPEST, LONGEST_KEY, LONGEST_NAME, LONGEST_TEXT, MOST_VALUES

Json = dict[str, Any]

CUT = "…"
TOO_DEEP = "[nested too deep]"
LONGEST_NUMBER = 40  # digits of a number that is read as one
MOST_TOKENS = 9_007_199_254_740_991  # 2**53 - 1, as in signals
EXACT_FLOAT = 2.0**53
EVENT_ID = 32  # hexadecimal digits


def decode(body: bytes) -> Any:
    """Decode JSON into values within the limits: also NaN, infinities, lone surrogates, NUL. Raises Malformed."""
    try:
        return tidy(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # it may be what only the lenient reader takes
    except RecursionError:
        raise Malformed("it is nested too deep") from None
    try:
        return tidy(json.loads(body.decode("utf-8", "replace"), parse_int=_integer))
    except ValueError as fault:
        raise Malformed(f"it is not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("it is nested too deep") from None


def _integer(literal: str) -> int | str:
    return int(literal) if len(literal) <= LONGEST_NUMBER else literal[:LONGEST_NUMBER]


def tidy(value: Any, depth: int = 0) -> Any:
    """Return a decoded value as every store can hold it."""
    if isinstance(value, str):
        return storable(cut(value))
    if not isinstance(value, (dict, list)):
        return _figure(value)
    if depth >= DEEPEST:
        return TOO_DEEP
    if isinstance(value, dict):
        return {storable(cut(k, LONGEST_KEY)): tidy(v, depth + 1) for k, v in list(value.items())[:MOST_VALUES]}
    return [tidy(item, depth + 1) for item in value[:MOST_VALUES]]


def _figure(value: Any) -> Any:
    """Return true, false, nothing and numbers; as text where JSON or 64 bits cannot hold them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if type(value) is int and not -(2**63) <= value < 2**63:
        return str(value)[:LONGEST_NUMBER]
    return value


def storable(text: str) -> str:
    """Remove NUL, which PostgreSQL refuses, and lone surrogates, which are no UTF-8."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text within a length; what was cut off is marked."""
    return text if len(text) <= longest else text[: longest - 1] + CUT


def an_object(value: Any) -> Json:
    """Return a map, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Json]:
    """Return the maps of a list, or of the `values` of a map, as SDKs write lists; none for anything else."""
    if isinstance(value, dict):
        value = value.get("values")
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any, longest: int = LONGEST_NAME) -> str | None:
    """Return a value as text; nothing for nothing and for blanks."""
    if value is None or isinstance(value, bool):
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return cut(stripped, longest) if (stripped := text.strip()) else None


def first_text(values: Mapping[str, Any], names: Sequence[str], longest: int = LONGEST_NAME) -> str | None:
    """Return the first of the named values that is there, as text."""
    return next((found for name in names if (found := text_of(values.get(name), longest)) is not None), None)


def first_whole(values: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return the first of the named values that is a count."""
    return next((count for name in names if (count := whole(values.get(name))) is not None), None)


def whole(value: Any) -> int | None:
    """Read a count, whatever its spelling; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MOST_TOKENS)):
        value = int(value)
    if isinstance(value, float) and 0 <= value < EXACT_FLOAT:
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else None


def number(value: Any) -> float | None:
    """Read a number that is not negative, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < EXACT_FLOAT else None


def moment(value: Any, now: int) -> int | None:
    """Read a moment as Unix ms: seconds since 1970, or RFC 3339, which is UTC where it names no offset.

    None where it is no moment since 1970. What lies more than 24 h ahead of `now` becomes it, as with Sentry.
    """
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value.strip())
            seconds = (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        return None
    if seconds < 0:
        return None
    return now if seconds * 1_000 > now + DAY else round(seconds * 1_000)


def identifier(value: Any) -> str | None:
    """Return an id: hexadecimal ones in their one spelling, others as they are; None for what can be none."""
    if not isinstance(value, str):
        return None
    digits = value.strip().replace("-", "").lower()
    if len(digits) == EVENT_ID and digits.strip("0123456789abcdef") == "":
        return digits if digits.strip("0") else None
    try:
        parse_id(value)
    except ValueError:
        return None
    return value if value.strip("0") else None


def tags_of(value: Any) -> Json:
    """Return tags as a map; SDKs also send them as a list of pairs."""
    if isinstance(value, list):
        pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2]  # noqa: PLR2004 - name and value
        return {name: pair[1] for pair in pairs if (name := text_of(pair[0]))}
    return an_object(value)
