"""OTLP in protobuf: bytes to spans, log records and data points.

The hot path: a batch of 512 spans is some 5,000 attributes. Strings are looked at first, since most values are strings
and asking which member of a union is set costs as much as reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pilothouse.sdk import Malformed, TooLarge
from pilothouse_otel.limits import DEEPEST, LONGEST_KEY, LONGEST_TEXT, MOST_ATTRIBUTES, MOST_EVENTS, MOST_SPANS, MOST_VALUES
from pilothouse_otel.points import DELTA, KINDS, NO_VALUE, TEMPORAL, Point, explicit_buckets, exponential_buckets
from pilothouse_otel.spans import Attributes, LogRecord, Refused, Span, SpanEvent
from pilothouse_otel.values import TOO_DEEP, cut, number, octets

TRACE_BYTES, SPAN_BYTES = 16, 8
NO_TRACE, NO_SPAN = bytes(TRACE_BYTES), bytes(SPAN_BYTES)
MILLION = 1_000_000  # nanoseconds in a millisecond
_PLAIN: dict[str, Callable[[Any], Any]] = {
    "string_value": cut, "int_value": int, "double_value": number, "bool_value": bool, "bytes_value": octets,
}  # fmt: skip


def read_spans(body: bytes, refused: Refused) -> list[Span]:
    """Read a trace request. Raises Malformed and TooLarge; spans without proper ids are counted in `refused`."""
    message = _parse(ExportTraceServiceRequest, body)
    spans: list[Span] = []
    place = 0
    for of_resource in message.resource_spans:
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            scope = of_scope.scope.name
            _check_number(place + len(of_scope.spans))
            for span in of_scope.spans:
                read = _span(span, scope, resource, place)
                if read is not None:
                    spans.append(read)
                else:
                    refused.add("a span needs a trace id of 16 bytes and a span id of 8, not all zero")
                place += 1
    return spans


def read_logs(body: bytes) -> list[LogRecord]:
    """Read a logs request. Raises Malformed and TooLarge."""
    message = _parse(ExportLogsServiceRequest, body)
    records: list[LogRecord] = []
    for of_resource in message.resource_logs:
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            _check_number(len(records) + len(of_scope.log_records))
            for record in of_scope.log_records:
                records.append(_record(record, of_scope.scope.name, resource, len(records)))
    return records


def read_points(body: bytes) -> list[Point]:
    """Read the data points of a metrics request. Raises Malformed and TooLarge."""
    message = _parse(ExportMetricsServiceRequest, body)
    points: list[Point] = []
    for of_resource in message.resource_metrics:
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                which = metric.WhichOneof("data")
                data = getattr(metric, which) if which is not None else None
                _check_number(len(points) + len(data.data_points if data is not None else ()))
                for point in data.data_points if data is not None else ():
                    if not point.flags & NO_VALUE:
                        points.append(_point(point, metric, which, data, scope=of_scope.scope.name, resource=resource,
                                             place=len(points)))  # fmt: skip
    return points


def _point(point: Any, metric: Any, which: str, data: Any, **of: Any) -> Point:
    found = Point(
        metric=metric.name, unit=metric.unit, kind=KINDS[which], monotonic=which == "sum" and data.is_monotonic,
        delta=which in TEMPORAL and data.aggregation_temporality == DELTA, start=point.start_time_unix_nano,
        at=point.time_unix_nano, attributes=attributes_of(point.attributes), **of,
    )  # fmt: skip
    if which in {"gauge", "sum"}:
        found.value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
        return found
    found.count = point.count
    found.total = point.sum if which == "summary" or point.HasField("sum") else None
    if which == "histogram":
        found.observed = explicit_buckets(list(point.explicit_bounds), list(point.bucket_counts))
    elif which == "exponential_histogram":
        up, down = point.positive, point.negative
        found.observed = exponential_buckets(point.scale, point.zero_count, up.offset, list(up.bucket_counts))
        found.observed |= exponential_buckets(point.scale, 0, down.offset, list(down.bucket_counts), sign=-1)
    return found


def _parse(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError as fault:
        raise Malformed(f"The body is not a {kind.DESCRIPTOR.name} in protobuf: {fault}") from None


def _check_number(count: int) -> None:
    if count > MOST_SPANS:
        raise TooLarge(f"More than {MOST_SPANS} items; send smaller batches.")


def _span(span: Any, scope: str, resource: Attributes, place: int) -> Span | None:
    trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
    if len(trace_id) != TRACE_BYTES or len(span_id) != SPAN_BYTES or trace_id == NO_TRACE or span_id == NO_SPAN:
        return None
    end = span.end_time_unix_nano
    events = span.events
    return Span(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=parent_id.hex() if len(parent_id) == SPAN_BYTES and parent_id != NO_SPAN else None,
        name=span.name,
        kind=span.kind,
        start=span.start_time_unix_nano // MILLION or None,
        end=end // MILLION or None,
        status=span.status.code,
        message=span.status.message,
        flags=span.flags,
        attributes=attributes_of(span.attributes),
        events=[_event(event) for event in events[:MOST_EVENTS]] if events else [],
        scope=scope,
        resource=resource,
        place=place,
    )


def _event(event: Any) -> SpanEvent:
    return SpanEvent(event.name, event.time_unix_nano // MILLION or None, attributes_of(event.attributes))


def _record(record: Any, scope: str, resource: Attributes, place: int) -> LogRecord:
    trace_id, span_id = record.trace_id, record.span_id
    at = record.time_unix_nano or record.observed_time_unix_nano
    return LogRecord(
        trace_id=trace_id.hex() if len(trace_id) == TRACE_BYTES and trace_id != NO_TRACE else None,
        span_id=span_id.hex() if len(span_id) == SPAN_BYTES and span_id != NO_SPAN else None,
        flags=record.flags,
        at=at // MILLION or None,
        severity=record.severity_number,
        severity_text=record.severity_text,
        event_name=record.event_name,
        body=value_of(record.body),
        attributes=attributes_of(record.attributes),
        scope=scope,
        resource=resource,
        place=place,
    )


def attributes_of(pairs: Iterable[Any]) -> Attributes:
    """Read attributes; those beyond the limit are left out, of equal names the last one counts."""
    attributes: Attributes = {}
    for pair in pairs:
        value = pair.value
        text = value.string_value
        if text:
            attributes[pair.key] = text if len(text) <= LONGEST_TEXT else cut(text)
        else:
            attributes[pair.key] = value_of(value)
    if len(attributes) > MOST_ATTRIBUTES:
        attributes = dict(list(attributes.items())[:MOST_ATTRIBUTES])
    if attributes and max(map(len, attributes)) > LONGEST_KEY:
        attributes = {cut(key, LONGEST_KEY): value for key, value in attributes.items()}
    return attributes


def value_of(value: Any, depth: int = 0) -> Any:
    """Read an AnyValue; None where none is set."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    read = _PLAIN.get(which)
    if read is not None:
        return read(getattr(value, which))
    if depth >= DEEPEST:
        return TOO_DEEP
    if which == "array_value":
        return [value_of(item, depth + 1) for item in value.array_value.values[:MOST_VALUES]]
    if which == "kvlist_value":
        pairs = value.kvlist_value.values[:MOST_VALUES]
        return {cut(pair.key, LONGEST_KEY): value_of(pair.value, depth + 1) for pair in pairs}
    return None
