"""What a source told of an error beside the error itself, sorted for showing: causes, what came before, request, person, tags.

Attributes are free; these names are what Sentry's SDKs use and what any source may use: `exceptions` (the oldest first, each
with its `frames`, the innermost last), `breadcrumbs` (the oldest first), `request`, `user`, `tags`, `contexts`, `extra`,
`step_id`, `step`. What does not have the shape of its name is listed with the rest, so nothing that was sent stays hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from pilothouse.sdk import Frame, formats

MOST_LINES = 100  # breadcrumbs, and members of a chain of exceptions
MOST_PAIRS = 200
MOST_FRAMES = 200  # of one exception that another one follows from
LONGEST = 2_000  # characters of one value
SECONDS_END = 100_000_000_000  # a number below it is seconds since 1970, one above it milliseconds
LATEST = 253_402_300_800_000  # ms, the end of the year 9999
FACTS = (
    ("level", "Level"), ("logger", "Logger"), ("transaction", "Transaction"), ("server_name", "Server"),
    ("platform", "Platform"), ("dist", "Distribution"), ("sdk", "Reported by"),
)  # fmt: skip

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cause:
    """One exception of a chain or group: `depth` is its place below the outermost one, whose frames are the error's own."""

    error_type: str
    message: str
    module: str
    depth: int
    frames: list[Frame]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of the program when it failed."""

    line: str
    query: Pairs
    headers: Pairs
    body: Any


@dataclass(slots=True)
class Circumstances:
    """What is known around an error; parts of which nothing was told are empty."""

    causes: list[Cause] = field(default_factory=list)
    breadcrumbs: list[dict[str, Any]] = field(default_factory=list)
    request: Request | None = None
    user: Pairs = field(default_factory=list)
    tags: Pairs = field(default_factory=list)
    facts: Pairs = field(default_factory=list)
    contexts: list[tuple[str, Pairs]] = field(default_factory=list)
    extra: Any = None
    step_id: str | None = None
    step: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)


def read(attributes: Any, at: int) -> Circumstances:
    """Sort an error's attributes; `at` is the moment of the error (ms), which breadcrumbs are told against."""
    left = dict(attributes) if isinstance(attributes, Mapping) else {}
    found = Circumstances()
    found.causes = _causes(_take(left, "exceptions", list))
    found.breadcrumbs = _breadcrumbs(_take(left, "breadcrumbs", list), at)
    found.request = _request(_take(left, "request", dict))
    found.user = pairs(_take(left, "user", dict))
    found.tags = pairs(_take(left, "tags", dict))
    found.contexts = [
        (str(name), pairs(value) if isinstance(value, dict) else [(str(name), plain(value))])
        for name, value in (_take(left, "contexts", dict) or {}).items() if value
    ][:MOST_PAIRS]  # fmt: skip
    found.extra = left.pop("extra", None) or None
    found.step_id, found.step = _take(left, "step_id", str), _take(left, "step", str)
    found.facts = [(title, text) for name, title in FACTS if (text := _take(left, name, str))]
    mechanism = _take(left, "mechanism", dict) or {}
    if isinstance(mechanism.get("type"), str):
        found.facts.append(("Caught by", mechanism["type"]))
    found.rest = left
    return found


def plain(value: Any) -> str:
    """Write a value in one text: what is no text as JSON."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def pairs(values: Mapping[str, Any] | None) -> Pairs:
    """Return names and values as texts, without those that are empty."""
    told = [(str(name), plain(value)) for name, value in (values or {}).items() if value not in (None, "", [], {})]
    return told[:MOST_PAIRS]


def _take(left: dict[str, Any], name: str, kind: type) -> Any:
    """Take a value out of the attributes where it has the shape of its name."""
    return left.pop(name) if isinstance(left.get(name), kind) else None


def _causes(sent: Sequence[Any] | None) -> list[Cause]:
    """Return the exceptions, the outermost first and each above what caused it."""
    told = [one for one in sent or () if isinstance(one, dict)][-MOST_LINES:]
    if len(told) < 2:  # noqa: PLR2004 - one alone is the error itself
        return []
    told.reverse()
    depths = _depths(told)
    return [
        Cause(plain(one.get("type") or "Error"), plain(one.get("message") or ""), plain(one.get("module") or ""), depth,
              _frames(one.get("frames")))
        for one, depth in zip(told, depths, strict=True)
    ]  # fmt: skip


def _frames(sent: Any) -> list[Frame]:
    """Return frames as errors have them, the innermost last; what is none is left out."""
    found = []
    for frame in sent[-MOST_FRAMES:] if isinstance(sent, list) else ():
        with suppress(msgspec.ValidationError):
            found.append(msgspec.convert(frame, Frame))
    return found


def _depths(told: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return how deep each exception stands: as its mechanism says (groups are trees), else one below the other."""
    places = [place if isinstance(place := one.get("mechanism"), dict) else {} for one in told]
    ids = [place.get("exception_id") for place in places]
    if any(type(key) is not int for key in ids):
        return list(range(len(told)))
    depth: dict[Any, int] = {}
    for place, key in zip(places, ids, strict=True):  # parents stand before their children in this order
        depth[key] = depth.get(place.get("parent_id"), -1) + 1
    return [depth[key] for key in ids]


def _breadcrumbs(sent: Sequence[Any] | None, at: int) -> list[dict[str, Any]]:
    """Return lines of a log, the oldest first: how long before the error, how grave, and what happened."""
    lines = []
    for number, crumb in enumerate([one for one in sent or () if isinstance(one, dict)][-MOST_LINES:], 1):
        moment = _moment(crumb.get("timestamp"))
        level = crumb.get("level")
        lines.append({
            "n": number, "at": "" if moment is None else _before(at - moment), "text": _what(crumb),
            "level": level if isinstance(level, str) and level != "info" else "",
        })  # fmt: skip
    return lines


def _before(distance: int) -> str:
    return f"−{formats.duration(distance)}" if distance > 0 else formats.duration(0)


def _what(crumb: Mapping[str, Any]) -> str:
    """Put a breadcrumb into words: its category, what it says, and its data."""
    named = crumb.get("category") or crumb.get("type")
    message, data = crumb.get("message"), crumb.get("data")
    parts = [plain(named)] if named else []
    parts += [plain(message)] if message else []
    told = "  ".join(f"{name}={value}" for name, value in pairs(data)) if isinstance(data, dict) else plain(data or "")
    return "  ".join([*parts, told] if told else parts)


def _moment(value: Any) -> int | None:
    """Read a moment of a source: RFC 3339, or seconds or milliseconds since 1970."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        millis = value * 1_000 if abs(value) < SECONDS_END else value
        return int(millis) if 0 <= millis < LATEST else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


def _request(sent: Mapping[str, Any] | None) -> Request | None:
    if not sent:
        return None
    line = " ".join(plain(sent[name]) for name in ("method", "url") if sent.get(name))
    query, headers = sent.get("query"), sent.get("headers")
    body = sent.get("body")
    if isinstance(body, str) and body[:1] in {"{", "["}:
        with suppress(msgspec.DecodeError, RecursionError):  # what only looks like JSON is shown as the text that it is
            body = msgspec.json.decode(body)
    return Request(
        line, pairs(query) if isinstance(query, dict) else [("query", plain(query))] if query else [],
        pairs(headers) if isinstance(headers, dict) else [], body or None,
    )  # fmt: skip
