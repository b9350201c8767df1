"""No body makes the server fail: whatever comes is stored, refused or answered with a fault of the sender's."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plugins.otel.conftest import PROTOBUF, attributes, failed, llm, request_of, span, trace_id

ENDPOINTS = (
    "/v1/traces", "/v1/logs", "/v1/metrics", "/v1/traces/ingest", "/api/public/ingestion", "/api/public/scores",
    "/api/public/otel/v1/traces",
)  # fmt: skip
FINE = {200, 202, 207, 400, 413, 415, 422}
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)
FIELDS = (
    "resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "attributes", "key", "value", "events", "status", "batch", "type",
    "body", "id", "data", "object", "span_data", "usage", "name", "kind", "startTimeUnixNano", "arrayValue", "kvlistValue", "values",
)  # fmt: skip
NAMED = st.recursive(
    JSON_VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=20,
)


def check(door, path, body, content_type="application/json"):
    answer = door.post(body, path=path, content_type=content_type)
    assert answer.status_code in FINE, (answer.status_code, answer.text, body[:500])


@pytest.mark.parametrize("path", ENDPOINTS)
@settings(max_examples=40, suppress_health_check=QUIET)
@given(value=NAMED)
def test_any_json_is_no_fault_of_ours(door, path, value):
    check(door, path, json.dumps(value).encode())


@pytest.mark.parametrize("path", ENDPOINTS)
@settings(max_examples=30, suppress_health_check=QUIET)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_no_fault_of_ours(door, path, body):
    for content_type in (PROTOBUF, "application/json", ""):
        check(door, path, body, content_type)


STRANGE = [
    "\0", "a\ud83d", "\u202e<script>", "x" * 300, {"a": {"b": [1, None]}}, [], {}, 2**63 - 1, -(2**63), 1e308, True, "NaN",
]  # fmt: skip
NAMES = (
    "user.id", "session.id", "gen_ai.request.model", "gen_ai.response.id", "gen_ai.usage.input_tokens", "gen_ai.operation.name",
    "error.type", "gen_ai.agent.name", "langfuse.observation.type", "langfuse.observation.usage_details", "langfuse.trace.name",
    "langfuse.observation.cost_details", "operation.cost", "ai.operationId", "openinference.span.kind", "output.value",
    "logfire.span_type", "logfire.pending_parent_id", "logfire.level_num", "traceloop.span.kind", "gen_ai.input.messages",
    "gen_ai.prompt.0.content", "http.response.status_code", "faas.trigger", "openai.response.service_tier",
)  # fmt: skip


def strange_spans(value):
    for name in NAMES:
        told = {**llm(), "langfuse.observation.level": "ERROR", name: value}
        yield span("root", trace_id(), attributes=told, **failed("no"))


@pytest.mark.parametrize("value", STRANGE)
def test_any_value_under_any_name_is_taken(either_door, value):
    spans = list(strange_spans(value))
    answer = either_door.post(json.dumps(request_of(spans)).encode(), content_type="application/json")
    assert (answer.status_code, answer.data) == (200, b"{}"), answer.text


def test_resources_scopes_and_events_may_be_strange_too(either_door):
    odd = {"service.name": "\0", "service.version": ["a"], "deployment.environment.name": 7}
    event = {"name": "exception", "attributes": attributes({"exception.type": 7, "exception.message": ["\0"], "exception.stacktrace": {}})}
    answer = either_door.export(span("root", trace_id(), events=[event, {}]), resource=odd, scope="s" * 400)
    assert (answer.status_code, answer.json) == (200, {})


def test_attributes_events_and_lists_beyond_the_limits_are_left_out(door, trace):
    many = {f"a{n}": n for n in range(400)} | {"list": list(range(2_000))}
    told = span("root", trace, attributes=many, events=[{"name": f"e{n}"} for n in range(300)])
    assert door.export(told).json == {}
    found = door.steps(trace)["root"]["attributes"]
    assert (len(found.pop("otel.events")), len(found) - 1) == (128, 256)
    door.export(span("other", trace, attributes={"list": list(range(2_000))}))
    assert len(door.steps(trace)["other"]["attributes"]["list"]) == 1_000


def test_values_that_are_nested_too_deep_are_cut_off(door, trace):
    value = "leaf"
    for _ in range(40):
        value = [value]
    door.export(span("root", trace, attributes={"deep": value}))
    assert "[nested too deep]" in json.dumps(door.steps(trace)["root"]["attributes"]["deep"])
