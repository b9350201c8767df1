"""Small parts: answers, shapes, contexts, the door itself, and what the documentation says of it."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from pilothouse.errors import NotSignedIn, StorageFull, StoreAway, TooLarge, TooManyRequests
from pilothouse_otel import answers, door, shapes
from pilothouse_otel.calls import call_id
from pilothouse_otel.context import context_of
from pilothouse_otel.failures import FARTHEST, Failure, ancestors, described, error_id
from pilothouse_otel.spans import Refused, Span
from pilothouse_otel.traces import kinds_of


def a_span(name="x", parent=None, **more):
    told = {
        "trace_id": "t", "span_id": name, "parent_id": parent, "name": name, "kind": 0, "start": 1, "end": 2, "status": 0,
        "message": "", "flags": 0, "attributes": {}, "events": [], "scope": "", "resource": {}, "place": 0,
    }  # fmt: skip
    return Span(**(told | more))


@pytest.mark.parametrize(("fault", "status", "retry_after"), [
    (TooManyRequests("x", retry_after=7), 503, "7"), (StoreAway("x", retry_after=5), 503, "5"), (StorageFull("x"), 503, "30"),
    (TooManyRequests("x"), 503, "2"), (TooLarge("x"), 413, None), (RequestEntityTooLarge(), 413, None), (NotSignedIn("x"), 401, None),
    (HTTPException(), 500, None),
])  # fmt: skip
def test_whatever_passes_by_itself_is_503(app, fault, status, retry_after):
    with app.test_request_context("/v1/traces", method="POST", content_type="application/json"):
        answer = answers.fault(fault)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 5_000])
def test_a_status_of_any_length_can_be_read(app, length):
    from opentelemetry.proto.trace.v1.trace_pb2 import Status

    encoded = answers._encode_status(14, "é" * length)
    # its fields lie where another message of protobuf has a message (2) and nothing at 1, which is passed over
    assert Status.FromString(encoded).message == "é" * length


@pytest.mark.parametrize(("signal", "field"), [
    ("traces", "rejectedSpans"), ("logs", "rejectedLogRecords"), ("metrics", "rejectedDataPoints"),
])  # fmt: skip
def test_what_was_refused_has_a_name_for_each_signal(signal, field):
    refused = Refused()
    refused.add("first")
    refused.add("second")
    told = answers.success(signal, "json", refused).json
    assert told == {"partialSuccess": {field: "2", "errorMessage": "first"}}


def test_the_shape_of_one_set_of_names_is_worked_out_once():
    names = ("gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.input.messages", "other")
    first = shapes.shape_of(names)
    assert shapes.shape_of((*names[:2], *names[2:])) is first
    assert (first.plain, first.inputs, first.rest) == (False, ("gen_ai.input.messages",), (names[0], names[1], "other"))
    assert first.usage.reported


def test_a_span_of_no_ai_dialect_is_plain_and_keeps_everything():
    found = shapes.shape_of(("http.request.method", "db.system"))
    assert (found.plain, found.rest) == (True, ("http.request.method", "db.system"))


def test_sets_of_names_without_end_are_forgotten():
    for number in range(shapes.KEPT + 50):
        shapes.shape_of((f"name-{number}",))
    assert shapes.shape_of.cache_info().currsize <= shapes.KEPT


def context(*spans):
    by_id = {span.span_id: span for span in spans}
    return context_of(by_id, kinds_of(by_id))


def test_of_two_users_the_one_nearer_to_the_root_counts():
    root, child = a_span("root", attributes={"user.id": "near"}), a_span("child", "root", attributes={"user.id": "far"})
    assert context(child, root).user == "near"


def test_of_two_agents_the_one_nearer_to_the_root_counts():
    agents = [
        a_span(name, parent, start=start, attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name})
        for name, parent, start in (("inner", "outer", 5), ("outer", "root", 1))
    ]
    assert context(*agents).agent == "outer"


def test_a_trace_of_no_ai_dialect_has_no_agent_and_no_tags():
    found = context(a_span("root", attributes={"metadata": "x"}))
    assert (found.agent, found.workflow, found.tags) == (None, None, {})


def test_ancestors_end_at_a_circle_and_where_a_span_is_missing():
    spans = {name: a_span(name, parent) for name, parent in (("a", "b"), ("b", "a"), ("c", "gone"))}
    assert [span.span_id for span in ancestors(spans["a"], spans)] == ["b"]
    assert list(ancestors(spans["c"], spans)) == []


def test_no_more_than_so_many_ancestors_are_looked_at():
    spans = {f"n{n}": a_span(f"n{n}", f"n{n - 1}") for n in range(1_000)}
    assert len(list(ancestors(spans["n999"], spans))) == FARTHEST


def failure(message, kind="ValueError"):
    return Failure(error_type=kind, message=message)


def test_one_exception_has_one_id_in_a_trace_however_it_is_told():
    told = [failure("no lines"), failure("ValueError: no lines"), failure("no lines ", "shop.ValueError"), failure("no lines", "Error")]
    assert len({error_id("t", one) for one in told}) == 1
    assert error_id("other", told[0]) != error_id("t", told[0])


def test_without_a_message_the_type_tells_exceptions_apart():
    assert error_id("t", failure("", "a.b.KeyError")) == error_id("t", failure("", "KeyError"))
    assert error_id("t", failure("", "KeyError")) != error_id("t", failure("", "ValueError"))


@pytest.mark.parametrize(("span", "words"), [
    (a_span("GET /x", attributes={"http.status_code": 500}), "GET /x failed with HTTP status 500"),
    (a_span("x", attributes={"http.status_code": "odd"}), "x failed"), (a_span(""), "A span failed"),
])  # fmt: skip
def test_a_failure_is_put_into_words(span, words):
    assert described(span) == words


def test_ids_that_are_too_long_together_become_a_hash_of_both():
    assert call_id(a_span()) == "t-x"
    long = a_span("y" * 128, trace_id="x" * 128)
    assert len(call_id(long)) == 64
    assert call_id(long) != call_id(a_span("y" * 127, trace_id="x" * 128))


@pytest.mark.parametrize(("headers", "name"), [
    ({"User-Agent": "OTel-OTLP-Exporter-Python/1.45.2"}, "OTel-OTLP-Exporter-Python/1.45.2"),
    ({"User-Agent": "httpx", "X-Langfuse-Sdk-Name": "python", "X-Langfuse-Sdk-Version": "5.0.4"}, "langfuse-python 5.0.4"),
    ({"User-Agent": "x" * 300}, "x" * 100),
])  # fmt: skip
def test_clients_are_known_by_the_name_that_they_give(app, headers, name):
    with app.test_request_context("/v1/traces", headers=headers):
        assert door.client_name() == name


def test_nothing_to_store_is_no_fault(app):
    with app.test_request_context("/v1/traces"):
        assert door.submit([]).count == 0


def test_every_route_is_documented(client, api):
    paths = api.get("/api/openapi.json").json["paths"]
    for path in ("/v1/traces", "/otlp/v1/logs", "/v1/metrics", "/v1/traces/ingest", "/api/public/ingestion", "/api/public/scores"):
        assert paths[path]["post"]["description"]
    assert "get" in paths["/api/public/projects"]
    assert "20,000 spans" in paths["/v1/traces"]["post"]["description"]


def test_the_plugin_can_be_switched_off(api):
    assert api.patch("/api/plugins/otel", json={"enabled": False}).status_code == 200
    assert api.post("/v1/traces", json={}).status_code == 404
    assert api.patch("/api/plugins/otel", json={"enabled": True}).status_code == 200
    assert api.post("/v1/traces", json={}).status_code == 200
