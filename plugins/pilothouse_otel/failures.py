"""Failures of spans become errors: an exception event, a status with `error.type`, or a status message alone.

Several failed spans of one exception in a trace make one error: its id follows from the trace and from what the exception
says. A failed span that says nothing of its own stands for the failure above or below it, where there is one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pilothouse.sdk import Error, Severity, raw
from pilothouse_otel.context import Context
from pilothouse_otel.kinds import is_log, step_name
from pilothouse_otel.limits import LONGEST_MESSAGE, LONGEST_NAME, LONGEST_STACK
from pilothouse_otel.spans import ERROR, Attributes, Span
from pilothouse_otel.values import cut, first_text

EXCEPTION_EVENT = "exception"
# The class that a message begins with. Bounded: a message of 65,536 letters must not cost their square
_PREFIX = re.compile(
    r"([A-Za-z_][\w.$]{0,250}(?:Error|Exception|Exit|Interrupt|Warning|Timeout|Failure|Iteration)\w{0,50}): "
)
_TYPE_PART = re.compile(r"[.:/]")
# Where a failure is told beside the status; of a span that is a line of Logfire's log, the line
_MESSAGES = {False: ("langfuse.observation.status_message",), True: ("langfuse.observation.status_message", "logfire.msg")}
IDENTITY_CHARS = 500  # of a message: some instrumentations cut what others send whole
FATAL = 21  # the least level of Logfire and severity number of OpenTelemetry that ends a program
NO_TYPE = "Error"
FARTHEST = 64  # spans above one that are looked at: a chain of 20,000 would cost the square of that


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One exception, or a failure that was reported without one. `message` is empty where nothing says more."""

    error_type: str
    message: str
    stack: str | None = None
    at: int | None = None


def has_failed(span: Span) -> bool:
    """Say whether a span reports that it failed."""
    return span.status == ERROR or span.attributes.get("langfuse.observation.level") == "ERROR"


def failures_of(span: Span) -> list[Failure]:
    """Return what went wrong in a span: its recorded exceptions, else what its status says."""
    exceptions = [
        exception_of(event.attributes, event.at or span.end) for event in span.events if event.name == EXCEPTION_EVENT
    ]
    if exceptions or not has_failed(span):
        return exceptions
    message = span.message or first_text(span.attributes, _MESSAGES[is_log(span.attributes)], LONGEST_MESSAGE) or ""
    said = _PREFIX.match(message)
    error_type = first_text(span.attributes, ("error.type", "exception.type")) or (said[1] if said else NO_TYPE)
    return [Failure(error_type=error_type, message=message, at=span.end or span.start)]


def exception_of(attributes: Attributes, at: int | None) -> Failure:
    """Read an exception out of the attributes of an event or log record."""
    return Failure(
        error_type=first_text(attributes, ("exception.type",), LONGEST_NAME) or NO_TYPE,
        message=first_text(attributes, ("exception.message",), LONGEST_MESSAGE) or "",
        stack=first_text(attributes, ("exception.stacktrace",), LONGEST_STACK),
        at=at,
    )


def errors_of(spans: Mapping[str, Span]) -> Iterator[tuple[Span, Failure]]:
    """Return the failures of one trace's spans, without the spans that only repeat what another one says."""
    found = [(span, failure) for span in spans.values() if span.events or has_failed(span) for failure in failures_of(span)]
    if not found:
        return
    telling = {span.span_id for span, failure in found if failure.message}
    above = {span.span_id for one in telling for span in ancestors(spans[one], spans)}
    for span, failure in sorted(found, key=lambda pair: not pair[1].message):
        if not failure.message:
            if span.span_id in above or any(other.span_id in telling for other in ancestors(span, spans)):
                continue
            telling.add(span.span_id)
            above.update(other.span_id for other in ancestors(span, spans))
        yield span, failure


def ancestors(span: Span, spans: Mapping[str, Span]) -> Iterable[Span]:
    """Return the spans above a span that are in the same request, the nearest first, so many and no more; a circle ends it."""
    seen = {span.span_id}
    for _ in range(FARTHEST):
        if span.parent_id is None or span.parent_id in seen or (above := spans.get(span.parent_id)) is None:
            return
        seen.add(above.span_id)
        yield above
        span = above


def make_error(failure: Failure, span: Span, context: Context) -> Error:
    """Make the error signal; `context` is its trace's."""
    return Error(
        id=error_id(span.trace_id, failure),
        error_type=cut(failure.error_type, LONGEST_NAME),
        message=cut(failure.message or described(span), LONGEST_MESSAGE),
        at=failure.at,
        execution_id=span.trace_id,
        stack_trace=failure.stack,
        severity=severity_of(span.attributes.get("logfire.level_num")),
        handled=None if has_failed(span) else True,
        release=context.release,
        environment=context.environment,
        user=context.user,
        attributes=raw({"step_id": span.span_id, "step": step_name(span)}),
    )


def error_id(trace_id: str, failure: Failure) -> str:
    """Return the id of a failure in a trace: the same for every span that tells of the same exception."""
    named = _PREFIX.match(failure.message)
    message = failure.message[named.end() if named is not None else 0 :].strip()
    identity = message[:IDENTITY_CHARS] or _TYPE_PART.split(failure.error_type)[-1]
    return hashlib.sha256(f"{trace_id}\0{identity}".encode()).hexdigest()[:32]


def described(span: Span) -> str:
    """Put a failure into words of which nothing more is known."""
    status = span.attributes.get("http.response.status_code") or span.attributes.get("http.status_code")
    what = step_name(span) if span.name else "A span"
    return f"{what} failed" + (f" with HTTP status {status}" if isinstance(status, int) else "")


def severity_of(level: object) -> Severity | None:
    """Return the severity that a level alone decides."""
    return "critical" if isinstance(level, int) and level >= FATAL else None
