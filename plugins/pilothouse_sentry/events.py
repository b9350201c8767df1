"""An event becomes an error: what went wrong, where, how grave, to whom, and what had happened before.

https://develop.sentry.dev/sdk/data-model/event-payloads/. The last of `exception.values` is the outermost exception, which
names the error; the others, with their frames, are in its attributes.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from pilothouse.sdk import Error, Execution, Severity, Signal, new_id, raw
from pilothouse_sentry.envelope import Scope
from pilothouse_sentry.frames import exceptions_of, frames_of, stack_of, written
from pilothouse_sentry.limits import LONGEST_MESSAGE, MOST_BREADCRUMBS, MOST_FRAMES
from pilothouse_sentry.values import Json, an_object, cut, first_text, identifier, moment, objects, tags_of, text_of

MESSAGE = "Message"  # the type of what was logged or said without an exception
LEVEL = "error"  # what an event without a level means, as with Sentry
_LOW = frozenset({"debug", "info", "warning", "log"})
_PRIVATE_HEADERS = frozenset({"cookie", "set-cookie", "authorization", "proxy-authorization", "x-api-key", "x-csrf-token"})
MOST_FINGERPRINTS = 32


def translate(event: Json, scope: Scope) -> list[Signal]:
    """Return the signals of an event: its error, and what it says of a run that nothing else will tell of."""
    exceptions = exceptions_of(event)
    last = exceptions[-1] if exceptions else {}
    tags = tags_of(event.get("tags"))
    trace = an_object(an_object(event.get("contexts")).get("trace"))
    trace_id = identifier(trace.get("trace_id"))
    error_type = text_of(last.get("type")) or MESSAGE
    handled = _handled(exceptions)
    error = Error(
        id=id_of(event, scope),
        error_type=error_type,
        message=_message(event, last),
        at=moment(event.get("timestamp"), scope.now) or scope.at,
        execution_id=trace_id or identifier(tags.get("execution_id")),
        workflow=first_text(tags, ("workflow",)) or first_text(event, ("transaction",)),
        stack_trace=written(exceptions, text_of(event.get("platform")) or ""),
        frames=frames_of(stack_of(event, last)) or None,
        severity=severity_of(event, error_type),
        handled=handled,
        fingerprint=_fingerprint(event.get("fingerprint")),
        release=text_of(event.get("release")) or scope.release,
        environment=text_of(event.get("environment")) or scope.environment,
        user=user_of(event),
        attributes=raw(_attributes(event, exceptions, tags, trace)),
    )
    if trace_id is None or _is_traced(trace, scope):
        return [error]
    return [_lone_run(error, trace_id, tags, crashed=handled is False or event.get("level") == "fatal"), error]


def id_of(event: Json, scope: Scope) -> str:
    """Return the event's id: its own, else the envelope's, else a new one."""
    return identifier(event.get("event_id")) or identifier(scope.event_id) or new_id()


def severity_of(event: Json, error_type: str) -> Severity | None:
    """Return the severity that the level decides; None leaves an error to the rules, which know whether it was handled."""
    level = (text_of(event.get("level")) or LEVEL).lower()
    if event.get("type") == "feedback":
        return "low"
    if level in {"fatal", "critical"}:
        return "critical"
    if level in _LOW:
        return "low"
    return "medium" if error_type == MESSAGE else None


def user_of(event: Json) -> str | None:
    """Return whom an event happened to: the id, else the address."""
    return first_text(an_object(event.get("user")), ("id", "email"))


def _is_traced(trace: Json, scope: Scope) -> bool:
    """Say whether the event's transaction comes too: the envelope says so, older SDKs name the operation."""
    return scope.sampled if scope.sampled is not None else trace.get("op") is not None


def _lone_run(error: Error, trace_id: str, tags: Json, *, crashed: bool) -> Execution:
    """Report the run of a program that sends no traces: it would stay open and be taken for lost otherwise."""
    return Execution(
        id=trace_id,
        workflow=error.workflow or "",
        status="failed" if crashed else "succeeded",
        finished_at=error.at,
        agent=first_text(tags, ("agent",)),
        user=error.user,
        environment=error.environment,
        release=error.release,
    )


def _handled(exceptions: list[Json]) -> bool | None:
    """Return whether the program handled the error: the outermost exception's word, else any other's."""
    for exception in reversed(exceptions):
        handled = an_object(exception.get("mechanism")).get("handled")
        if isinstance(handled, bool):
            return handled
    return None


def _message(event: Json, last: Json) -> str:
    entry = event.get("logentry")
    told = event.get("message")
    feedback = an_object(an_object(event.get("contexts")).get("feedback"))
    return (
        text_of(last.get("value"), LONGEST_MESSAGE)
        or first_text(an_object(entry), ("formatted", "message"), LONGEST_MESSAGE)
        or (first_text(told, ("formatted", "message"), LONGEST_MESSAGE) if isinstance(told, dict) else None)
        or text_of(told if not isinstance(told, dict) else None, LONGEST_MESSAGE)
        or first_text(feedback, ("message",), LONGEST_MESSAGE)
        or ""
    )


def _fingerprint(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        return None
    parts = [text for part in value[:MOST_FINGERPRINTS] if (text := text_of(part)) is not None]
    return parts or None


def _attributes(event: Json, exceptions: list[Json], tags: Json, trace: Json) -> Json:
    """Return what else is worth knowing; the list of installed modules is not."""
    contexts = an_object(event.get("contexts"))
    sdk = an_object(event.get("sdk"))
    told = {
        "level": text_of(event.get("level")) or LEVEL,
        "logger": text_of(event.get("logger")),
        "platform": text_of(event.get("platform")),
        "transaction": text_of(event.get("transaction")),
        "server_name": text_of(event.get("server_name")),
        "sdk": " ".join(part for part in (text_of(sdk.get("name")), text_of(sdk.get("version"))) if part),
        "dist": text_of(event.get("dist")),
        "step_id": identifier(trace.get("span_id")),
        "tags": tags,
        "extra": event.get("extra"),
        "contexts": {name: value for name, value in contexts.items() if name != "trace"},
        "request": request_of(an_object(event.get("request"))),
        "user": _person(an_object(event.get("user"))),
        "breadcrumbs": _breadcrumbs(event),
        "exceptions": _chain(exceptions) if len(exceptions) > 1 else None,
        "mechanism": an_object(exceptions[-1].get("mechanism")) if exceptions else None,
    }
    return {name: value for name, value in told.items() if value}


def _person(user: Json) -> Json:
    return {name: value for name, value in user.items() if name in {"id", "email", "username", "name", "segment"} and value}


def _chain(exceptions: list[Json]) -> list[Json]:
    """Return the exceptions of a chain or group, each with its frames but the last, whose frames are the error's own.

    Where all frames together are too many, the exceptions nearest to the last one keep theirs.
    """
    links = [_link(exception) for exception in exceptions]
    left = MOST_FRAMES
    for link, exception in zip(reversed(links[:-1]), reversed(exceptions[:-1]), strict=True):
        frames = frames_of(an_object(exception.get("stacktrace")))[-left:] if left else []
        left -= len(frames)
        if frames:
            link["frames"] = msgspec.to_builtins(frames)
    return links


def _link(exception: Json) -> Json:
    """Return one exception; `mechanism` has its place in the tree."""
    told = {"type": exception.get("type"), "message": exception.get("value"), "module": exception.get("module"),
            "mechanism": exception.get("mechanism")}  # fmt: skip
    return {name: value for name, value in told.items() if value}


def _breadcrumbs(event: Json) -> list[Json]:
    """Return the newest breadcrumbs, the oldest first."""
    return [
        {name: value for name, value in crumb.items() if value}
        for crumb in objects(event.get("breadcrumbs"))[-MOST_BREADCRUMBS:]
    ]


def request_of(request: Json) -> Json:
    """Return what a request asked for, without cookies, credentials and the server's environment."""
    headers = request.get("headers")
    pairs = tags_of(headers)
    query = request.get("query_string")
    told = {
        "method": request.get("method"),
        "url": cut(url, LONGEST_MESSAGE) if isinstance(url := request.get("url"), str) else None,
        # as names and values, so that a secret is known by its name
        "query": dict(parse_qsl(query, max_num_fields=None)) if isinstance(query, str) else tags_of(query),
        "headers": {name: value for name, value in pairs.items() if name.lower() not in _PRIVATE_HEADERS},
        "body": request.get("data"),
    }
    return {name: value for name, value in told.items() if value}
