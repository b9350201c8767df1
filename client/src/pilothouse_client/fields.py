"""The fields of each signal as keyword arguments, and how they are put into the form the server takes."""

from __future__ import annotations

import json
from datetime import date
from typing import Any, Callable, TypedDict, Union

from pilothouse_client.plain import moment, money, plain, plain_mapping, text

# RFC 3339 text, Unix milliseconds, or a datetime (local time where it has no zone).
Time = Union[str, int, date]


class ExecutionFields(TypedDict, total=False):
    """What may be said of an execution beside its workflow; `id` and times are filled in when left out."""

    id: str
    started_at: Time
    trigger: str
    agent: str
    user: str
    session: str
    environment: str
    release: str
    parent_id: str
    input: Any
    attributes: dict[str, Any]


class StepFields(TypedDict, total=False):
    """What may be said of a step beside its name; `kind` is agent, llm, tool, retrieval, task or other."""

    id: str
    kind: str
    parent_id: str
    started_at: Time
    input: Any
    attributes: dict[str, Any]


class TokenFields(TypedDict, total=False):
    """What may be said of a model call beside its model and counts; the server prices it without `cost_usd`."""

    id: str
    provider: str
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: Any
    response_id: str
    execution_id: str
    workflow: str
    agent: str
    user: str
    key_id: str
    latency_ms: float
    at: Time


class ErrorFields(TypedDict, total=False):
    """What may be said of an error beside its exception; `severity` is low, medium, high or critical."""

    id: str
    at: Time
    execution_id: str
    workflow: str
    severity: str
    handled: bool
    fingerprint: str
    release: str
    environment: str
    user: str
    attributes: dict[str, Any]


class EventFields(TypedDict, total=False):
    """What may be said of an event beside its name."""

    id: str
    component: str
    user: str
    session: str
    duration_ms: float
    ok: bool
    at: Time
    properties: dict[str, Any]


# The server's bound on short texts; a longer one would take its whole signal with it.
MAX_TEXT = 255
KINDS = frozenset({"agent", "llm", "tool", "retrieval", "task", "other"})


def _short(value: object) -> str:
    return text(value)[:MAX_TEXT]


def _name(value: object) -> str:
    return _short(value) or "unnamed"


def _kind(value: object) -> str:
    return value if isinstance(value, str) and value in KINDS else "other"


def _as_it_is(value: object) -> object:
    return value


def _time(value: object) -> Any:
    return moment(value) if isinstance(value, date) else plain(value)


_OBJECTS = dict.fromkeys(("attributes", "properties"), plain_mapping)
_TIMES = dict.fromkeys(("started_at", "finished_at", "at"), _time)
_TEXTS = dict.fromkeys(
    (
        *("type", "id", "execution_id", "parent_id", "status", "trigger", "agent", "user", "session", "environment"),
        *("release", "severity", "provider", "response_id", "key_id", "component"),
    ),
    _short,
)
_NAMES = dict.fromkeys(("workflow", "name", "error_type", "model"), _name)
_FORMS: dict[str, Callable[[object], Any]] = {
    **_OBJECTS,
    **_TIMES,
    **_TEXTS,
    **_NAMES,
    "kind": _kind,
    "message": text,
    "cost_usd": money,
    "frames": _as_it_is,
}
_BY_TYPE: dict[str, type] = {
    "execution": ExecutionFields,
    "step": StepFields,
    "token_usage": TokenFields,
    "error": ErrorFields,
    "event": EventFields,
}


def encode(signal: dict[str, Any]) -> bytes:
    """Return one signal as a line of JSON; fields that are None are left out, as the server fills those in later."""
    return json.dumps(formed(signal), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _form(name: str) -> Callable[[object], Any]:
    """Return what puts a value of the field `name` into its form; frames were made in theirs."""
    if name == "error":
        return _error
    return _FORMS.get(name, plain)


def _error(value: object) -> Any:
    return formed(value) if isinstance(value, dict) else plain(value)


def formed(signal: dict[str, Any]) -> dict[str, Any]:
    """Return `signal` with every value in the form that its field has on the wire."""
    return {name: _form(name)(value) for name, value in signal.items() if value is not None}


def unknown(kind: str, given: dict[str, Any]) -> list[str]:
    """Return the names in `given` that signals of this kind do not have."""
    return sorted(set(given) - set(_BY_TYPE[kind].__annotations__))
