"""What no store can hold and what nobody should see is gone before anything is stored."""

from __future__ import annotations

import json

import pytest
from tests.plugins.otel.conftest import attributes, exception, failed, llm, request_of, span

from pilothouse.db import db
from pilothouse_otel.cleaning import is_secret_name

SECRET = "sk-proj-abcdefghijklmnop1234"
CARD = "4111 1111 1111 1111"


def everything(door):
    """Return all that is stored, as one text."""
    with db.engine.connect() as connection:
        names = [row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = [name for name in names if not name.startswith(("access_tokens", "audit", "sqlite", "users"))]
        rows = [row for name in kept for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"')]
        return "\n".join(str([value for value in row if not isinstance(value, bytes)]) for row in rows)


PLACES = [
    lambda text: {"name": f"call {text}"},
    lambda text: {"attributes": attributes({"x": text})},
    lambda text: {"attributes": attributes({f"{text} name": 1})},
    lambda text: {"attributes": attributes({"x": [text, {"y": [text]}]})},
    lambda text: {"attributes": attributes({"gen_ai.input.messages": json.dumps([{"content": text}])})},
    lambda text: {"attributes": attributes({"gen_ai.input.messages": f"[{text}"})},
    failed,
    lambda text: failed("", exception("ValueError", text, f"at {text}")),
    lambda text: {"events": [{"name": text, "attributes": attributes({"x": text})}]},
    lambda text: {"attributes": attributes({"user.id": text, "session.id": text})},
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", [SECRET, CARD])
def test_secrets_and_cards_are_nowhere(door, trace, place, text):
    assert door.export(span("other", trace, parent="root"), span("root", trace) | place(text)).json == {}
    stored = everything(door)
    assert "[scrubbed]" in stored
    assert text not in stored


@pytest.mark.parametrize("place", PLACES)
def test_nul_is_nowhere(door, trace, place):
    assert door.export(span("root", trace) | place("a\0b")).json == {}
    stored = everything(door)
    assert "\\x00" not in stored
    assert "\\u0000" not in stored
    assert "ab" in stored


def test_lone_surrogates_are_replaced(door, trace):
    body = json.dumps(request_of([span("root", trace, attributes={"x": "SURROGATE"})])).replace("SURROGATE", "a\\ud83db")
    assert door.post(body.encode(), content_type="application/json").json == {}
    assert door.steps(trace)["root"]["attributes"]["x"] == "a?b"


@pytest.mark.parametrize("name", ["password", "db.password", "http.request.header.authorization", "x-api-key", "session_token"])
def test_the_value_of_a_secret_name_is_masked_whatever_it_is(door, trace, name):
    door.export(span("root", trace, attributes={name: "plain", "kept": "plain"}))
    found = door.steps(trace)["root"]["attributes"]
    assert (found[name], found["kept"]) == ("[scrubbed]", "plain")


def test_names_that_count_tokens_are_no_secrets(door, trace):
    door.export(span("root", trace, attributes=llm((100, 10), **{"gen_ai.usage.total_tokens": 110})))
    assert door.tokens(trace) == (1, 100, 10)
    assert not is_secret_name("gen_ai.usage.input_tokens")


def test_the_provider_s_id_stays_whatever_it_looks_like(door, trace):
    number = "4111111111111111"
    door.export(span("root", trace, attributes=llm(**{"gen_ai.response.id": number})))
    assert door.steps(trace)["root"]["attributes"]["gen_ai.response.id"] == number


def test_log_records_and_their_resources_are_cleaned(door):
    told = {"body": {"stringValue": f"key {SECRET}"}, "attributes": attributes({"card": CARD, "n": [CARD]})}
    scoped = {"scope": {"name": SECRET}, "logRecords": [told | {"severityText": "\0I"}]}
    body = {"resourceLogs": [{"resource": {"attributes": attributes({"service.name": SECRET})}, "scopeLogs": [scoped]}]}
    assert door.api.post("/v1/logs", json=body).json == {}
    stored = everything(door)
    assert "[scrubbed]" in stored
    assert SECRET not in stored
    assert CARD not in stored


def test_langfuse_batches_are_cleaned(door):
    body = {"traceId": "t1", "id": "o1", "name": SECRET, "input": {"password": "plain words", "q": CARD}, "model": "a\0b"}
    events = [
        {"id": "e1", "type": "generation-create", "body": body | {"endTime": "2026-01-01T00:00:00Z"}},
        {"id": "e2", "type": "trace-create", "body": {"id": "t1", "name": "run", "metadata": {"api_key": "plain words"}}},
        {"id": "e3", "type": "score-create", "body": {"traceId": "t1", "name": "s", "value": 1, "comment": SECRET}},
    ]
    assert door.api.post("/api/public/ingestion", json={"batch": events}).json["errors"] == []
    stored = everything(door)
    for text in (SECRET, CARD, "plain words", "\\x00", "\\u0000"):
        assert text not in stored


def test_openai_agents_traces_are_cleaned(door):
    data = {"type": "function", "name": SECRET, "input": {"password": "plain words"}, "response_id": "4111111111111111"}
    failed = {"message": f"no {SECRET}", "data": {"error": CARD}}
    told = {"id": "s1", "trace_id": "t1", "ended_at": "2026-01-01T00:00:00Z", "span_data": data, "error": failed}
    trace = {"object": "trace", "id": "t1", "workflow_name": "a\0b", "metadata": {"token": "plain words"}}
    assert door.api.post("/v1/traces/ingest", json={"data": [trace, told]}).json == {}
    stored = everything(door)
    for text in (SECRET, CARD, "plain words", "\\x00"):
        assert text not in stored
    assert "4111111111111111" in stored
