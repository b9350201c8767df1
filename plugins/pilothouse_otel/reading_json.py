"""OTLP in JSON: bytes to spans, log records and data points.

The mapping is OTLP's own, not protobuf's: ids are hex. Whole numbers come as text or as numbers, NaN and the infinities as
text, bytes as base64, empty lists as `{}`. What is not known is passed over; one span that cannot be read never takes
another one with it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from pilothouse.sdk import Malformed, TooLarge, clean
from pilothouse_otel.limits import DEEPEST, LONGEST_KEY, MOST_ATTRIBUTES, MOST_EVENTS, MOST_SPANS, MOST_VALUES
from pilothouse_otel.points import DELTA, KINDS, NO_VALUE, TEMPORAL, Point, explicit_buckets, exponential_buckets
from pilothouse_otel.spans import Attributes, LogRecord, Refused, Span, SpanEvent
from pilothouse_otel.values import TOO_DEEP, cut, number, whole_or_text

MILLION = 1_000_000  # nanoseconds in a millisecond
TRACE_HEX, SPAN_HEX = 32, 16
_HEX = re.compile(r"[0-9a-fA-F]+")
_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUSES = {"OK": 1, "ERROR": 2}
_TEMPORALITIES = {"DELTA": 1, "CUMULATIVE": 2}
_SEVERITIES = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}

Number = int | float | str | None


class _Value(msgspec.Struct, rename="camel", gc=False):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number = None
    double_value: Number = None
    array_value: _Array | None = None
    kvlist_value: _Map | None = None
    bytes_value: str | None = None


class _Pair(msgspec.Struct, gc=False):
    key: str = ""
    value: _Value | None = None


class _Array(msgspec.Struct):
    values: list[_Value] | None = None


class _Map(msgspec.Struct):
    values: list[_Pair] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_Pair] | None = None


class _Scope(msgspec.Struct):
    name: str | None = None


class _Status(msgspec.Struct):
    code: Number = None
    message: str | None = None


class _Event(msgspec.Struct, rename="camel"):
    name: str | None = None
    time_unix_nano: Number = None
    attributes: list[_Pair] | None = None


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: Number = None
    flags: Number = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Log(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    flags: Number = None
    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    severity_number: Number = None
    severity_text: str | None = None
    event_name: str | None = None
    body: _Value | None = None
    attributes: list[_Pair] | None = None


class _Buckets(msgspec.Struct, rename="camel"):
    offset: Number = None
    bucket_counts: list[Number] | None = None


class _Point(msgspec.Struct, rename="camel"):
    attributes: list[_Pair] | None = None
    start_time_unix_nano: Number = None
    time_unix_nano: Number = None
    flags: Number = None
    as_int: Number = None
    as_double: Number = None
    count: Number = None
    sum: Number = None
    bucket_counts: list[Number] | None = None
    explicit_bounds: list[Number] | None = None
    scale: Number = None
    zero_count: Number = None
    positive: _Buckets | None = None
    negative: _Buckets | None = None


class _Points(msgspec.Struct, rename="camel"):
    data_points: list[_Point] | None = None
    is_monotonic: bool | None = None
    aggregation_temporality: Number = None


class _Metric(msgspec.Struct, rename="camel"):
    name: str | None = None
    unit: str | None = None
    gauge: _Points | None = None
    sum: _Points | None = None
    histogram: _Points | None = None
    exponential_histogram: _Points | None = None
    summary: _Points | None = None


@functools.cache
def _request(groups: str, parts: str, items: str, item: Any) -> Any:
    """Return the type of a request: lists of lists of items under the names that the signal has for them.

    The type checker knows no types that are made while running; msgspec does.
    """
    listed = msgspec.field(name=items, default=None)
    part = msgspec.defstruct("Part", [("scope", _Scope | None, None), ("items", list[item] | None, listed)])
    parted = msgspec.field(name=parts, default=None)
    group = msgspec.defstruct("Group", [("resource", _Resource | None, None), ("parts", list[part] | None, parted)])  # type: ignore[valid-type]
    grouped = msgspec.field(name=groups, default=None)
    return msgspec.defstruct("Request", [("groups", list[group] | None, grouped)])  # type: ignore[valid-type]


def read_spans(body: bytes, refused: Refused) -> list[Span]:
    """Read a trace request. Raises Malformed and TooLarge; what is no proper span is counted in `refused`."""
    names = ("resourceSpans", "scopeSpans", "spans")
    return list(_read(body, names, _Span, _one(_Span, _span, refused)))


def read_logs(body: bytes, refused: Refused) -> list[LogRecord]:
    """Read a logs request. Raises Malformed and TooLarge; what is no proper record is counted in `refused`."""
    names = ("resourceLogs", "scopeLogs", "logRecords")
    return list(_read(body, names, _Log, _one(_Log, _log, refused)))


def read_points(body: bytes, refused: Refused) -> list[Point]:
    """Read the data points of a metrics request. Raises Malformed and TooLarge; what is no proper metric is refused."""
    names = ("resourceMetrics", "scopeMetrics", "metrics")
    points: list[Point] = []
    for found in _read(body, names, _Metric, _one(_Metric, _metric, refused)):
        if len(points) + len(found) > MOST_SPANS:
            raise TooLarge(f"More than {MOST_SPANS} items; send smaller batches.")
        points += found
    return points


def _read(body: bytes, names: tuple[str, str, str], kind: Any, make: Callable[..., Any]) -> Iterator[Any]:
    request = _decode(body, _request(*names, kind), _request(*names, Any))
    place = 0
    for group in request.groups or ():
        resource = _attributes(group.resource.attributes if group.resource else None)
        for part in group.parts or ():
            scope = (part.scope.name if part.scope else None) or ""
            if place + len(part.items or ()) > MOST_SPANS:
                raise TooLarge(f"More than {MOST_SPANS} items; send smaller batches.")
            for item in part.items or ():
                read = make(item, scope, resource, place)
                place += 1
                if read is not None:
                    yield read


def _decode(body: bytes, strict: Any, loose: Any) -> Any:
    """Decode all at once; else what surrounds the items first, so that each can be judged by itself."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(body, type=strict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_loosely(body, loose)


def _decode_loosely(body: bytes, kind: Any) -> Any:
    """Decode what is no strict JSON (lone surrogates, bare NaN) or holds items that are not what they should be."""
    try:
        return msgspec.convert(clean(json.loads(body)), kind)
    except msgspec.ValidationError as fault:
        raise Malformed(f"The body is not an OTLP request: {fault}") from None
    except ValueError as fault:
        raise Malformed(f"The body is not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("The body is nested too deep.") from None


def _one(kind: Any, make: Callable[..., Any], refused: Refused) -> Callable[..., Any]:
    """Return a function that makes one item, or counts it as refused."""

    def read(item: Any, scope: str, resource: Attributes, place: int) -> Any:
        try:
            typed = item if isinstance(item, kind) else msgspec.convert(item, kind)
            return make(typed, scope, resource, place)
        except (ValueError, RecursionError) as fault:  # msgspec.ValidationError is a ValueError
            refused.add(str(fault)[:200])
            return None

    return read


def _span(span: _Span, scope: str, resource: Attributes, place: int) -> Span:
    status = span.status or _Status()
    return Span(
        trace_id=_required(span.trace_id, TRACE_HEX, "traceId"),
        span_id=_required(span.span_id, SPAN_HEX, "spanId"),
        parent_id=_id(span.parent_span_id, SPAN_HEX),
        name=span.name or "",
        kind=_enum(span.kind, _KINDS),
        start=_millis(span.start_time_unix_nano),
        end=_millis(span.end_time_unix_nano),
        status=_enum(status.code, _STATUSES),
        message=status.message or "",
        flags=_whole(span.flags) or 0,
        attributes=_attributes(span.attributes),
        events=[_event(event) for event in (span.events or ())[:MOST_EVENTS]],
        scope=scope,
        resource=resource,
        place=place,
    )


def _event(event: _Event) -> SpanEvent:
    return SpanEvent(event.name or "", _millis(event.time_unix_nano), _attributes(event.attributes))


def _log(record: _Log, scope: str, resource: Attributes, place: int) -> LogRecord:
    return LogRecord(
        trace_id=_id(record.trace_id, TRACE_HEX),
        span_id=_id(record.span_id, SPAN_HEX),
        flags=_whole(record.flags) or 0,
        at=_millis(record.time_unix_nano) or _millis(record.observed_time_unix_nano),
        severity=_enum(record.severity_number, _SEVERITIES),
        severity_text=record.severity_text or "",
        event_name=record.event_name or "",
        body=_plain(record.body),
        attributes=_attributes(record.attributes),
        scope=scope,
        resource=resource,
        place=place,
    )


def _metric(metric: _Metric, scope: str, resource: Attributes, place: int) -> list[Point]:
    points = []
    for which, kind in KINDS.items():
        data: _Points | None = getattr(metric, which)
        for point in (data.data_points if data is not None else None) or ():
            if data is None or (_whole(point.flags) or 0) & NO_VALUE:
                continue
            delta = which in TEMPORAL and _enum(data.aggregation_temporality, _TEMPORALITIES) == DELTA
            points.append(Point(
                metric=metric.name or "", unit=metric.unit or "", kind=kind, monotonic=bool(data.is_monotonic), delta=delta,
                start=_whole(point.start_time_unix_nano) or 0, at=_whole(point.time_unix_nano) or 0, scope=scope,
                value=_float(point.as_double if point.as_int is None else point.as_int), count=_whole(point.count) or 0,
                total=None if point.sum is None else _float(point.sum), observed=_observed(point, which),
                attributes=_attributes(point.attributes), resource=resource, place=place,
            ))  # fmt: skip
    return points


def _observed(point: _Point, which: str) -> dict[float, int]:
    if which == "histogram":
        bounds = [_float(bound) for bound in point.explicit_bounds or ()]
        return explicit_buckets(bounds, _counts(point.bucket_counts))
    if which != "exponential_histogram":
        return {}
    scale = _whole(point.scale) or 0
    up, down = point.positive or _Buckets(), point.negative or _Buckets()
    found = exponential_buckets(scale, _whole(point.zero_count) or 0, _whole(up.offset) or 0, _counts(up.bucket_counts))
    return found | exponential_buckets(scale, 0, _whole(down.offset) or 0, _counts(down.bucket_counts), sign=-1)


def _counts(numbers: list[Number] | None) -> list[int]:
    return [_whole(number) or 0 for number in numbers or ()]


def _float(value: Number) -> float:
    """Read a number; what is none is NaN, which no point may be."""
    try:
        return float(value if value is not None else 0)
    except (ValueError, OverflowError):
        return float("nan")


def _attributes(pairs: Sequence[_Pair] | None) -> Attributes:
    return {cut(pair.key, LONGEST_KEY): _plain(pair.value) for pair in (pairs or ())[:MOST_ATTRIBUTES]}


def _plain(value: _Value | None, depth: int = 0) -> Any:
    if value is None:
        return None
    text = value.string_value if value.string_value is not None else value.bytes_value
    if text is not None:
        return cut(text)
    if value.bool_value is not None:
        return value.bool_value
    if value.int_value is not None or value.double_value is not None:
        return _number(value)
    if value.array_value is None and value.kvlist_value is None:
        return None
    return TOO_DEEP if depth >= DEEPEST else _nested(value, depth + 1)


def _nested(value: _Value, depth: int) -> Any:
    if value.array_value is not None:
        return [_plain(item, depth) for item in (value.array_value.values or ())[:MOST_VALUES]]
    pairs = (value.kvlist_value.values if value.kvlist_value else None) or ()
    return {cut(pair.key, LONGEST_KEY): _plain(pair.value, depth) for pair in pairs[:MOST_VALUES]}


def _number(value: _Value) -> float | str:
    if value.int_value is None:
        return _double(value.double_value)
    whole = _whole(value.int_value)
    return cut(str(value.int_value)) if whole is None else whole_or_text(whole)


def _double(value: Number) -> float | str:
    try:
        return number(float(value or 0))
    except (ValueError, OverflowError):
        return cut(str(value))


def _whole(value: Number) -> int | None:
    """Read a whole number that comes as number or text; None where it is none."""
    try:
        return int(value) if value is not None else None
    except (ValueError, OverflowError):
        return None


def _millis(value: Number) -> int | None:
    nanos = _whole(value)
    return nanos // MILLION or None if nanos is not None and nanos > 0 else None


def _enum(value: Number, names: dict[str, int]) -> int:
    """Read an enum that comes as number or, as protobuf's own JSON has it, by name."""
    if isinstance(value, str) and not value.isdigit():
        return names.get(value.rpartition("_")[2].upper(), 0)
    return _whole(value) or 0


def _required(value: str | None, digits: int, name: str) -> str:
    read = _id(value, digits)
    if read is None:
        raise ValueError(f"{name} must be {digits} hexadecimal digits that are not all 0")
    return read


def _id(value: str | None, digits: int) -> str | None:
    """Read an id in hex or, as protobuf's own JSON has it, in base64; None where it is absent, all zero or neither."""
    if not value:
        return None
    if len(value) != digits or _HEX.fullmatch(value) is None:
        try:
            octets = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(octets) * 2 != digits:
            return None
        value = octets.hex()
    return value.lower() if value.strip("0") else None
