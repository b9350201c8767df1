"""OTLP over HTTP: traces, logs and metrics, at the paths that exporters add to the address they are given."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request
from werkzeug.exceptions import HTTPException

from pilothouse.sdk import ApiBlueprint, Door, PilothouseError, now, open_to_browsers, read_body
from pilothouse_otel import answers, logs, metrics, reading, traces
from pilothouse_otel.cleaning import clean_logs, clean_spans
from pilothouse_otel.door import submit, submit_points
from pilothouse_otel.limits import MOST_BYTES
from pilothouse_otel.reading import Encoding
from pilothouse_otel.spans import Refused

SEND = "core.signals.send"
# What stands before /v1: a slash too many at the end of the address that a client was given is no reason to redirect
EVERYWHERE = {"": "", "/otlp": "_below_otlp", "/otlp/": "_below_otlp_with_slash"}
LANGFUSE = {"/api/public/otel": "_of_langfuse"}  # its SDKs send there, whatever host they are given

Export = Callable[[bytes, Encoding, Refused], Refused]


def blueprint(door: Door) -> ApiBlueprint:
    """Make the blueprint; its faults are answered as OTLP answers them."""
    bp = ApiBlueprint("otel", prefix="", title="OpenTelemetry")
    for signal, export, prefixes in (
        ("traces", export_traces, EVERYWHERE | LANGFUSE),
        ("logs", export_logs, EVERYWHERE),
        ("metrics", export_metrics, EVERYWHERE),
    ):
        for prefix, suffix in prefixes.items():
            _add(bp, f"{prefix}/v1/{signal}", _handler(signal, export, door), name=f"export_{signal}{suffix}")
    open_to_browsers(bp)
    bp.register_error_handler(PilothouseError, answers.fault)
    bp.register_error_handler(HTTPException, answers.fault)
    return bp


def _add(bp: ApiBlueprint, path: str, handler: Callable[[], Response], *, name: str) -> None:
    handler.__name__ = name
    bp.post(path, permission=SEND, transaction=False)(handler)


def _handler(signal: str, export: Export, door: Door) -> Callable[[], Response]:
    def handle() -> Response:
        with door.serve():
            body = read_body(MOST_BYTES)
            encoding = reading.encoding_of(request.content_type or "", body)
            return answers.success(signal, encoding, export(body, encoding, Refused()))

    handle.__doc__ = export.__doc__
    return handle


def export_traces(body: bytes, encoding: Encoding, refused: Refused) -> Refused:
    """Send spans (OTLP).

    An ExportTraceServiceRequest in protobuf or JSON, at most 10 MiB and 20,000 spans after decompression. A trace becomes
    an execution, its spans steps, its failures errors and its model calls token usage. Answers after the commit; spans
    that could not be stored are counted in `partial_success`. 503 with `Retry-After` where it is worth trying again.
    """
    spans = reading.read_spans(body, encoding, refused)
    clean_spans(spans)
    return submit(traces.translate(spans, now(), refused), refused)


def export_logs(body: bytes, encoding: Encoding, refused: Refused) -> Refused:
    """Send log records (OTLP).

    An ExportLogsServiceRequest in protobuf or JSON, at most 10 MiB and 20,000 records after decompression. Records become
    events; those that carry the prompts and answers of a model call become the content of its step.
    """
    records = reading.read_logs(body, encoding, refused)
    clean_logs(records)
    return submit(logs.translate(records, now(), refused), refused)


def export_metrics(body: bytes, encoding: Encoding, refused: Refused) -> Refused:
    """Send metrics (OTLP).

    An ExportMetricsServiceRequest in protobuf or JSON, at most 10 MiB and 20,000 data points after decompression. Counters add
    to the measure `otel.counters`, gauges and histograms to `otel.values`, by metric, program and attributes; times are in ms.
    Delta and cumulative points count the same, and what comes twice counts once.
    """
    points = list(metrics.readable(reading.read_points(body, encoding, refused), now(), refused))
    metrics.clean_points(points)
    return submit_points(points, refused)
