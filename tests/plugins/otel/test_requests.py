"""How exporters reach the door: paths, encodings, framing, content types, and what they are answered."""

from __future__ import annotations

import gzip
import io
import json
import threading
import zlib

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.plugins.otel.conftest import PROTOBUF, request_of, span, trace_id
from werkzeug.test import EnvironBuilder, run_wsgi_app

from pilothouse.sdk import Busy, Door
from pilothouse_otel.door import FULL, source
from pilothouse_otel.limits import MOST_BYTES, MOST_SPANS

TRACES = ("/v1/traces", "/otlp/v1/traces", "/otlp//v1/traces", "/api/public/otel/v1/traces")
PATHS = (*TRACES, "/v1/logs", "/v1/metrics", "/otlp/v1/logs", "/otlp/v1/metrics")
RESPONSES = {"traces": ExportTraceServiceResponse, "logs": ExportLogsServiceResponse, "metrics": ExportMetricsServiceResponse}


@pytest.fixture
def door(shared_door):
    return shared_door


@pytest.mark.parametrize("path", TRACES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_traces_are_taken_at_every_path_without_a_redirect(door, trace, path, slash):
    answer = door.export(span("root", trace), path=path + slash)
    assert (answer.status_code, answer.json) == (200, {})
    assert door.execution(trace)["workflow"] == "root"


@pytest.mark.parametrize("path", ["//v1/traces", "//api/public/otel/v1/traces", "/otlp//v1/traces/"])
def test_a_slash_too_many_is_no_redirect(door, path):
    builder = EnvironBuilder(method="POST", json={}, headers={"Authorization": f"Bearer {door.api.token}"})
    environ = builder.get_environ() | {"PATH_INFO": path}
    _, status, _ = run_wsgi_app(door.api.client.application, environ)
    assert status == "200 OK"


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_body_is_an_empty_request(door, path):
    answer = door.post(b"", path=path)
    assert (answer.status_code, answer.data, answer.content_type) == (200, b"", PROTOBUF)


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_object_is_answered_in_json(door, path):
    answer = door.post(b"{}", path=path, content_type="application/json")
    assert (answer.status_code, answer.json, answer.content_type) == (200, {}, "application/json")


def test_protobuf_gives_what_json_gives(door, protobuf):
    one, two = trace_id(), trace_id()
    told = {"a": "text", "b": True, "n": 3}
    door.export(span("root", one, attributes=told))
    answer = door.post(protobuf(span("root", two, attributes=told)))
    assert (answer.status_code, answer.content_type) == (200, PROTOBUF)
    steps = [door.steps(key)["root"] for key in (one, two)]
    assert {name: value for name, value in steps[0]["attributes"].items() if name != "otel.scope.name"} == told
    assert steps[0]["id"] == steps[1]["id"]
    assert steps[0]["duration_ms"] == steps[1]["duration_ms"]


@pytest.mark.parametrize("content_type", [
    "application/json", "application/json; charset=utf-8", "Application/JSON", "text/plain", "", "application/vnd.otlp+json",
])  # fmt: skip
def test_json_is_known_by_any_type_or_its_first_byte(door, trace, content_type):
    body = b"\n " + json.dumps(request_of([span("root", trace)])).encode()
    answer = door.post(body, content_type=content_type)
    assert (answer.status_code, answer.json) == (200, {})
    assert door.execution(trace)["status"] == "succeeded"


@pytest.mark.parametrize("content_type", [
    PROTOBUF, "application/protobuf", "application/vnd.google.protobuf", "application/octet-stream", "", "text/plain; x=y",
])  # fmt: skip
def test_protobuf_is_known_by_any_type_or_its_first_byte(door, trace, protobuf, content_type):
    answer = door.post(protobuf(span("root", trace)), content_type=content_type)
    assert (answer.status_code, answer.content_type) == (200, PROTOBUF)
    assert door.execution(trace)["status"] == "succeeded"


ENCODERS = {
    "gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes, "GZIP": gzip.compress, "x-gzip": gzip.compress,
}  # fmt: skip


@pytest.mark.parametrize("encoding", list(ENCODERS))
def test_bodies_may_be_compressed(door, trace, protobuf, encoding):
    answer = door.post(ENCODERS[encoding](protobuf(span("root", trace))), Content_Encoding=encoding)
    assert answer.status_code == 200
    assert door.execution(trace)["status"] == "succeeded"


def test_a_chunked_body_has_no_length(door, trace):
    body = json.dumps(request_of([span("root", trace)])).encode()
    environ = {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = door.api.post("/v1/traces", environ_overrides=environ, content_type="application/json")
    assert answer.status_code == 200
    assert door.execution(trace)["status"] == "succeeded"


def test_a_byte_order_mark_is_passed_over(door, trace):
    body = b"\xef\xbb\xbf" + json.dumps(request_of([span("root", trace)])).encode()
    assert door.post(body, content_type="application/json").status_code == 200
    assert door.execution(trace)["workflow"] == "root"


def status_of(answer):
    """Read google.rpc.Status: the code and the message."""
    data = answer.data
    assert (data[0], data[2]) == (0x08, 0x12)
    length, start = (data[3], 4) if data[3] < 0x80 else (data[3] & 0x7F | data[4] << 7, 5)
    assert len(data) == start + length
    return data[1], data[start:].decode()


@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_protobuf_is_400_in_protobuf(door, path):
    answer = door.post(b"\x0a\xff\xff", path=path)
    assert (answer.status_code, answer.content_type) == (400, PROTOBUF)
    code, message = status_of(answer)
    assert (code, "protobuf" in message) == (3, True)


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"7", b'{"resourceSpans": 7}', b'{"resourceSpans": [7]}', b"[" * 20_000, b"\xff",
])  # fmt: skip
def test_what_is_no_request_is_400_in_json(door, body):
    answer = door.post(body, content_type="application/json")
    assert (answer.status_code, answer.content_type) == (400, "application/json")
    assert answer.json["code"] == 3
    assert answer.json["message"]


def test_broken_compression_is_400(door):
    assert door.post(b"not gzip", Content_Encoding="gzip").status_code == 400


def test_an_unknown_compression_is_415(door):
    assert door.post(b"", Content_Encoding="snappy").status_code == 415


def test_nobody_is_401_in_otlp_s_own_form(client):
    answer = client.post("/v1/traces", data=b"", content_type=PROTOBUF)
    assert (answer.status_code, answer.content_type) == (401, PROTOBUF)
    assert status_of(answer)[0] == 16
    assert "Bearer" in answer.headers["WWW-Authenticate"]


def test_a_token_without_the_scope_is_403(client, make_token):
    answer = client.post("/v1/traces", json={}, headers={"Authorization": f"Bearer {make_token('read')}"})
    assert (answer.status_code, answer.json["code"]) == (403, 7)


def test_a_body_over_the_limit_is_413_also_when_it_was_small_on_the_wire(door):
    bomb = gzip.compress(b" " * (MOST_BYTES + 1))
    assert len(bomb) < 20_000
    answer = door.post(bomb, content_type="application/json", Content_Encoding="gzip")
    assert (answer.status_code, answer.json["code"]) == (413, 8)
    assert door.post(b"{}" + b" " * (MOST_BYTES - 2), content_type="application/json").status_code == 200


def test_too_many_spans_are_413_and_nothing_is_stored(door, trace, protobuf):
    many = [{"traceId": trace, "spanId": f"{n:016x}", "name": ""} for n in range(1, MOST_SPANS + 2)]
    assert door.api.post("/v1/traces", json=request_of(many)).status_code == 413
    assert not door.knows(trace)


def test_what_cannot_be_read_is_counted_and_the_rest_is_taken(door, trace):
    bad = {**span("bad", trace), "traceId": "xyz"}
    answer = door.export(bad, {"traceId": 5}, span("root", trace))
    assert answer.status_code == 200
    assert answer.json["partialSuccess"]["rejectedSpans"] == "2"
    assert "traceId" in answer.json["partialSuccess"]["errorMessage"]
    assert door.execution(trace)["workflow"] == "root"


def test_what_cannot_be_read_in_protobuf_is_counted_too(door, trace, protobuf):
    bad = {**span("bad", trace), "spanId": "00" * 8}
    answer = door.post(protobuf(bad, span("root", trace)))
    told = ExportTraceServiceResponse.FromString(answer.data).partial_success
    assert (told.rejected_spans, "span id" in told.error_message) == (1, True)
    assert door.execution(trace)["workflow"] == "root"


def test_a_span_from_the_day_after_tomorrow_is_refused(door, trace):
    two_days = 2 * 86_400_000
    answer = door.export(span("late", trace, start=two_days), span("root", trace))
    assert answer.json["partialSuccess"]["rejectedSpans"] == "1"
    assert list(door.steps(trace)) == ["root"]


def test_over_the_rate_limit_is_503_which_exporters_try_again(build_app, make_client):
    door = make_client(build_app(PILOTHOUSE_INGEST_RATE="3"))
    answers = [door.export(span("s", trace_id())) for _ in range(8)]  # two signals each: the second one in a second is over it
    answer = next(answer for answer in answers if answer.status_code != 200)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json["code"] == 14


def test_a_full_disk_is_503_so_that_exporters_keep_what_they_have(app, make_client, full_disk, trace):
    door = make_client(app)
    full_disk()
    answer = door.export(*(span(f"s{n}", trace, attributes={"x": "y" * 5_000}) for n in range(300)))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 5


def test_more_at_once_than_there_are_places_wait_and_are_sent_away():
    door = Door(source, FULL, most=1, wait_s=0.05)
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with door.enter():
            entered.set()
            leave.wait(5)

    other = threading.Thread(target=stay)
    other.start()
    entered.wait(5)
    with pytest.raises(Busy) as busy, door.enter():
        pass
    leave.set()
    other.join()
    assert (busy.value.status, busy.value.retry_after) == (503, 1)
    with door.enter():
        pass


@pytest.mark.parametrize("path", PATHS)
def test_other_methods_are_not_allowed(door, path):
    assert door.api.get(path).status_code == 405


def test_metrics_are_taken_and_counted(door):
    point = {"dataPoints": [{"asInt": "1", "timeUnixNano": "1"}]}
    metrics = [{"name": "a", "sum": point}, {"name": "b", "histogram": {"dataPoints": []}}, {"name": "c"}, 7]
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
    answer = door.api.post("/v1/metrics", json=body)
    assert answer.json["partialSuccess"]["rejectedDataPoints"] == "1"
