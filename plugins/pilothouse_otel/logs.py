"""Log records become events; those that carry prompts and answers become content of their span's step.

A record has no id of its own, so one is made of all that it says: a request that is sent again adds nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from pilothouse.sdk import DAY, Error, EventSignal, Signal, Step, raw
from pilothouse_otel.content import input_of_events, is_content, output_of_events
from pilothouse_otel.context import ENVIRONMENT, RELEASE, session_of, user_of
from pilothouse_otel.failures import EXCEPTION_EVENT, error_id, exception_of, severity_of
from pilothouse_otel.limits import LONGEST_MESSAGE, LONGEST_NAME
from pilothouse_otel.spans import SAMPLED, LogRecord, Refused, SpanEvent
from pilothouse_otel.values import cut, first_text

Item = tuple[int, Signal]
# The least severity numbers of OpenTelemetry's ranges, and what a record without a name of its own is called by
_LEVELS = ((21, "log.fatal"), (17, "log.error"), (13, "log.warn"), (9, "log.info"), (5, "log.debug"), (1, "log.trace"))
ERROR_LEVEL = 17


def translate(records: Iterable[LogRecord], now: int, refused: Refused) -> list[Item]:
    """Return the signals of a request's log records, each with the place of its record. `now` is in Unix ms."""
    items: list[Item] = []
    contents: dict[tuple[str, str], list[LogRecord]] = {}
    for record in records:
        name = name_of(record)
        if (record.at or 0) > now + DAY:
            refused.add("a log record lies more than 24 hours in the future")
        elif is_content(name) and record.trace_id and record.span_id and record.flags & SAMPLED:
            contents.setdefault((record.trace_id, record.span_id), []).append(record)
        else:
            items.append((record.place, _event(record, name)))
            if name == EXCEPTION_EVENT:
                items.append((record.place, _error(record)))
    items += _contents(contents.values())
    return items


def name_of(record: LogRecord) -> str:
    """Return what kind of thing a record tells: its event name, else its level."""
    named = record.event_name or first_text(record.attributes, ("event.name",))
    level = next((name for least, name in _LEVELS if record.severity >= least), "log")
    return cut(named or level, LONGEST_NAME)


def _contents(groups: Iterable[Sequence[LogRecord]]) -> Iterator[Item]:
    """Make a report of each step whose content came: what else is known of it comes with its span."""
    for records in groups:
        events = [SpanEvent(name_of(record), record.at, _content(record)) for record in records]
        first = records[0]
        model = first_text(first.attributes, ("gen_ai.request.model",)) or ""
        operation = first_text(first.attributes, ("gen_ai.operation.name",)) or "chat"
        yield (
            first.place,
            Step(
                id=str(first.span_id),
                execution_id=str(first.trace_id),
                name=cut(f"{operation} {model}".strip(), LONGEST_NAME),
                kind="llm",
                status="running",
                input=input_of_events(events),
                output=output_of_events(events),
            ),
        )


def _content(record: LogRecord) -> dict[str, Any]:
    return {**record.attributes, **record.body} if isinstance(record.body, dict) else record.attributes


def _event(record: LogRecord, name: str) -> EventSignal:
    message = record.body if isinstance(record.body, str) else None
    told: dict[str, Any] = {
        "message": record.body, "severity": record.severity_text or None, "logger": record.scope or None,
        "execution_id": record.trace_id, "step_id": record.span_id,
    }  # fmt: skip
    properties = {**{key: value for key, value in told.items() if value is not None}, **record.attributes}
    return EventSignal(
        id=_id(record, message or ""),
        name=name,
        component=first_text(record.resource, ("service.name",)),
        user=user_of(record.attributes),
        session=session_of(record.attributes),
        ok=record.severity < ERROR_LEVEL,
        at=record.at,
        properties=raw(properties),
    )


def _error(record: LogRecord) -> Error:
    """Make the error of an exception that comes as a log record instead of a span's event."""
    failure = exception_of(record.attributes, record.at)
    return Error(
        id=error_id(record.trace_id or _id(record, failure.message), failure),
        error_type=failure.error_type,
        message=cut(failure.message or str(record.body or ""), LONGEST_MESSAGE),
        at=record.at,
        execution_id=record.trace_id,
        stack_trace=failure.stack,
        severity=severity_of(record.severity),
        release=first_text(record.resource, RELEASE),
        environment=first_text(record.resource, ENVIRONMENT),
        user=user_of(record.attributes),
        attributes=raw({"step_id": record.span_id, "logger": record.scope}),
    )


def _id(record: LogRecord, message: str) -> str:
    """Return an id that is the same whenever the same record comes."""
    said = msgspec.json.encode([record.at, record.trace_id, record.span_id, message, record.body, record.attributes,
                                record.severity, record.event_name, record.scope, record.resource])  # fmt: skip
    return hashlib.sha256(said).hexdigest()[:32]
