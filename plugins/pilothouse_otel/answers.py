"""What OTLP answers: in the encoding of the request, success with what was refused, faults as google.rpc.Status.

https://opentelemetry.io/docs/specs/otlp/#otlphttp-response (OTLP 1.10). Exporters try again on 503 only: 429 loses data
with older ones, 500 with newer ones. So whatever will pass by itself is a 503 with Retry-After.
"""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from werkzeug.exceptions import HTTPException

from pilothouse.sdk import PilothouseError
from pilothouse_otel.reading import Encoding
from pilothouse_otel.spans import Refused

PROTOBUF, JSON = "application/x-protobuf", "application/json"
BUSY_S = 2  # seconds after which to try again when nothing better is known
FULL_S = 30  # seconds after which to try again when the disk is full
RETRIED = frozenset({429, 503, 507})
# google.rpc.Code of each status
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 10, 413: 8, 415: 3, 422: 3, 503: 14}
UNKNOWN = 2
_REFUSED: dict[str, tuple[Any, str, str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
}


def success(signal: str, encoding: Encoding, refused: Refused) -> Response:
    """Answer 200: `signal` is traces, logs or metrics; what was refused is told with the first reason."""
    kind, field, name = _REFUSED[signal]
    if encoding == "json":
        partial = {"partialSuccess": {name: str(refused.count), "errorMessage": refused.reason}} if refused.count else {}
        return Response(msgspec.json.encode(partial), content_type=JSON)
    message = kind()
    if refused.count:
        setattr(message.partial_success, field, refused.count)
        message.partial_success.error_message = refused.reason
    return Response(message.SerializeToString(), content_type=PROTOBUF)


def fault(error: Exception) -> Response:
    """Answer a fault of ours or of HTTP itself."""
    if isinstance(error, PilothouseError):
        status, detail, retry_after = error.status, error.detail, error.retry_after
    else:
        known = error if isinstance(error, HTTPException) else HTTPException()
        status, detail, retry_after = known.code or 500, known.description or "", None
    headers = {}
    if status in RETRIED:
        headers["Retry-After"] = str(retry_after or (FULL_S if status == 507 else BUSY_S))  # noqa: PLR2004 - storage full
        status = 503
    if status == 401:  # noqa: PLR2004 - not signed in
        headers["WWW-Authenticate"] = 'Bearer realm="Pilothouse"'
    response = _status(status, detail)
    response.headers.update(headers)
    return response


def _status(status: int, detail: str) -> Response:
    code = _CODES.get(status, UNKNOWN)
    if "json" in (request.content_type or "").lower():
        document: dict[str, Any] = {"code": code, "message": detail}
        return Response(msgspec.json.encode(document), status, content_type=JSON)
    return Response(_encode_status(code, detail), status, content_type=PROTOBUF)


def _encode_status(code: int, message: str) -> bytes:
    """Encode google.rpc.Status: field 1 is the code, field 2 the message. A whole library for two fields is too much."""
    text = message.encode()
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits an octet, the eighth says that more follow
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])
