"""Spans in their three spellings: inside of a transaction, the transaction itself, and span items of version 2."""

from __future__ import annotations

from typing import Any

import msgspec

from pilothouse.sdk import Status
from pilothouse_sentry.values import Json, an_object, first_text, identifier, moment, number, tags_of, text_of

UNNAMED = "unnamed"
# As Sentry counts failures: all but ok, unknown and cancelled. A task that Celery will try again is `aborted`.
_STATUSES: dict[str, Status] = {
    "ok": "succeeded", "unknown": "succeeded", "unset": "succeeded", "cancelled": "cancelled", "aborted": "cancelled",
    "deadline_exceeded": "timed_out",
}  # fmt: skip
_OLD_MEASUREMENTS = ("ai_prompt_tokens_used", "ai_completion_tokens_used", "ai_total_tokens_used")


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span. Times are Unix ms, `end` is None while it runs; `segment` marks where a service's part begins."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    op: str
    status: Status
    start: int | None
    end: int | None
    attributes: Json
    segment: bool
    place: int


def status_of(value: Any) -> Status:
    """Return our status for Sentry's; without one it went well."""
    name = text_of(value)
    return "succeeded" if name is None else _STATUSES.get(name.lower(), "failed")


def of_transaction(transaction: Json, now: int, place: int) -> list[Span]:
    """Return a transaction's spans, itself the first. Empty where it names no trace."""
    trace = an_object(an_object(transaction.get("contexts")).get("trace"))
    trace_id = identifier(trace.get("trace_id"))
    span_id = identifier(trace.get("span_id"))
    if trace_id is None or span_id is None:
        return []
    root = _make(
        {**trace, "description": transaction.get("transaction"), "start_timestamp": transaction.get("start_timestamp"),
         "timestamp": transaction.get("timestamp") or now / 1_000},
        (trace_id, span_id), now, place=place, segment=True,
    )  # fmt: skip
    spans = [root]
    for value in transaction.get("spans") or () if isinstance(transaction.get("spans"), list) else ():
        child = old_span(an_object(value), now, place=place, trace_id=trace_id)
        if child is not None and child.span_id != span_id:
            spans.append(child)
    return spans


def old_span(value: Json, now: int, *, place: int, trace_id: str | None = None) -> Span | None:
    """Return a span as it is written in a transaction, or alone; None where it has no ids."""
    trace = identifier(value.get("trace_id")) or trace_id
    span_id = identifier(value.get("span_id"))
    if trace is None or span_id is None:
        return None
    return _make(value, (trace, span_id), now, place=place, segment=value.get("is_segment") is True)


def _make(value: Json, ids: tuple[str, str], now: int, *, place: int, segment: bool) -> Span:
    data = an_object(value.get("data"))
    measured = an_object(value.get("measurements"))
    old = {name: number(an_object(measured[name]).get("value")) for name in _OLD_MEASUREMENTS if name in measured}
    origin = text_of(value.get("origin"))
    attributes = {**tags_of(value.get("tags")), **({"sentry.origin": origin} if origin else {}), **data, **old}
    attributes.pop("status", None)  # a copy of the span's own
    op = text_of(value.get("op")) or text_of(data.get("sentry.op")) or ""
    start = moment(value.get("start_timestamp"), now)
    return Span(
        trace_id=ids[0],
        span_id=ids[1],
        parent_id=identifier(value.get("parent_span_id")),
        name=first_text(value, ("description", "name")) or op or UNNAMED,
        op=op,
        status=status_of(value.get("status")),
        start=start,
        end=_not_before(start, moment(value.get("timestamp"), now)),
        attributes=attributes,
        segment=segment,
        place=place,
    )


def of_item(value: Json, now: int, place: int) -> Span | None:
    """Return a span of version 2; None where it has no ids. Without an end it is still running."""
    trace_id, span_id = identifier(value.get("trace_id")), identifier(value.get("span_id"))
    if trace_id is None or span_id is None:
        return None
    attributes = plain(value.get("attributes"))
    start = moment(value.get("start_timestamp"), now)
    end = _not_before(start, moment(value.get("end_timestamp"), now))
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=identifier(value.get("parent_span_id")),
        name=text_of(value.get("name")) or text_of(attributes.get("sentry.op")) or UNNAMED,
        op=text_of(attributes.get("sentry.op")) or "",
        status=status_of(value.get("status")) if end is not None else "running",
        start=start,
        end=end,
        attributes=attributes,
        segment=value.get("is_segment") is True,
        place=place,
    )


def plain(attributes: Any) -> Json:
    """Return typed attributes (`{"value": 1, "type": "integer"}`) as plain values."""
    values = {}
    for name, typed in an_object(attributes).items():
        value = typed.get("value") if isinstance(typed, dict) and "type" in typed else typed
        if value is not None:
            values[name] = value
    return values


def _not_before(start: int | None, end: int | None) -> int | None:
    return end if end is None or start is None else max(start, end)
