"""openai-agents' own exporter: the trace when it begins, its spans when they ended."""

from __future__ import annotations

import pytest

from pilothouse.clock import DAY, now, to_rfc3339

T0, T1, T2 = "2026-11-01T10:00:00+00:00", "2026-11-01T10:00:01.5+00:00", "2026-11-01T10:00:02+00:00"
TRACE = {
    "object": "trace", "id": "trace_1", "workflow_name": "intake", "group_id": "s-9", "metadata": {"user": "ada", "run": "x"},
}  # fmt: skip
USAGE = {
    "input_tokens": 18, "output_tokens": 15, "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip


def span(key, kind, parent=None, error=None, **data):
    return {
        "object": "trace.span", "id": key, "trace_id": "trace_1", "parent_id": parent, "started_at": T0, "ended_at": T1,
        "span_data": {"type": kind, **data}, "error": error,
    }  # fmt: skip


def send(door, *items):
    answer = door.api.post("/v1/traces/ingest", json={"data": list(items)}, headers={"OpenAI-Beta": "traces=v1"})
    assert answer.status_code == 200
    return answer.json


def test_a_trace_that_began_is_a_running_execution(door):
    assert send(door, TRACE) == {}
    run = door.execution("trace_1")
    assert (run["workflow"], run["status"], run["session"], run["user"]) == ("intake", "running", "s-9", "ada")
    assert run["attributes"] == {"user": "ada", "run": "x"}


def test_the_span_at_the_top_ends_it_and_keeps_its_name(door):
    send(door, TRACE)
    send(door, span("s1", "agent", name="order-agent"))
    run = door.execution("trace_1")
    assert (run["workflow"], run["status"], run["agent"], run["duration_ms"]) == ("intake", "succeeded", "order-agent", 1500)


def test_types_of_spans_are_kinds_of_steps(door):
    send(
        door, span("a", "agent", name="one"), span("b", "response", "a"),
        span("c", "function", "a", name="tool", input="{}", output="x"), span("d", "handoff", "a", to_agent="two"), span("e", "guardrail", "a", name="guard"), span("f", "new-type", "a"),
    )  # fmt: skip
    steps = door.steps("trace_1")
    assert {name: step["kind"] for name, step in steps.items()} == {
        "one": "agent", "response": "llm", "tool": "tool", "handoff to two": "other", "guard": "task", "new-type": "task",
    }  # fmt: skip
    assert (steps["tool"]["input"], steps["tool"]["output"]) == ({}, "x")


def test_tokens_are_counted_at_the_responses_and_not_at_their_sums(door):
    sums = {"usage": {"input_tokens": 36, "output_tokens": 30, "cached_input_tokens": 8}}
    send(
        door, span("r1", "response", "turn", response_id="resp_1", usage=USAGE), span("r2", "response", "turn", usage=USAGE),
        span("turn", "custom", "task", name="turn", data=sums), span("task", "custom", name="task", data=sums),
    )  # fmt: skip
    usage = door.execution("trace_1")["token_usage"]
    told = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    assert tuple(usage[name] for name in told) == (2, 36, 30, 8, 4)


def test_a_generation_names_its_model(door):
    usage = {"input_tokens": 10, "output_tokens": 5}
    send(door, span("g", "generation", model="gpt-4o", usage=usage, input=[{"role": "user"}]))
    lines = door.api.get("/api/tokens/breakdown?by=model&range=90d").json["data"]
    assert [(line["key"], line["prompt_tokens"]) for line in lines] == [("gpt-4o", 10)]
    assert door.steps("trace_1")["generation"]["input"] == [{"role": "user"}]


def test_a_failure_told_on_two_spans_is_one_error(door):
    inner = {"message": "Error running tool", "data": {"tool_name": "x", "error": "division by zero"}}
    outer = {"message": "Error in agent run", "data": {"error": "division by zero"}}
    send(door, span("f", "function", "a", inner, name="x"), span("a", "agent", None, outer, name="one"))
    assert [error["message"] for error in door.errors()] == ["division by zero"]
    assert door.execution("trace_1")["status"] == "failed"


def test_the_agent_s_span_repeats_the_tool_s_failure_in_more_words(door):
    inner = {"message": "Error running tool", "data": {"tool_name": "x", "error": "no such city"}}
    outer = {"message": "Error in agent run", "data": {"error": "Error running tool get_weather: no such city"}}
    send(door, span("f", "function", "a", inner, name="x"), span("a", "agent", "t", outer, name="triage"))
    assert [error["message"] for error in door.errors()] == ["no such city"]


@pytest.mark.parametrize(("failing", "status"), [("agent", "failed"), ("function", "succeeded")])
def test_a_run_fails_with_its_agent_and_not_with_a_tool_that_the_agent_went_on_after(door, failing, status):
    told = {failing: {"message": "Max turns exceeded", "data": {"max_turns": 2}}}
    send(
        door, TRACE, span("f", "function", "a", told.get("function"), name="x"),
        span("a", "agent", "t", told.get("agent"), name="triage"),
        span("t", "custom", None, name="task", data={"sdk_span_type": "task"}),
    )  # fmt: skip
    assert door.execution("trace_1")["status"] == status


@pytest.mark.parametrize(("error", "message"), [
    ({"message": "stopped"}, "stopped"), ("plain", "plain"), ({"data": 7}, "response failed"),
])  # fmt: skip
def test_an_error_may_be_told_in_other_ways(door, error, message):
    send(door, span("r", "response", None, error))
    assert [found["message"] for found in door.errors()] == [message]


def test_the_same_items_twice_change_nothing(door):
    items = [TRACE, span("r", "response", usage=USAGE)]
    send(door, *items)
    before = door.execution("trace_1")
    send(door, *items)
    assert door.execution("trace_1") == before


BAD = [
    7, {"object": "trace", "id": "a b"}, {"object": "trace"}, {"object": "trace.span"}, {"object": "trace.span", "id": "x"},
    span("x y", "agent"), {**span("x", "agent"), "parent_id": " "},
    {**span("x", "agent"), "started_at": to_rfc3339(now() + 3 * DAY)},
]  # fmt: skip


@pytest.mark.parametrize("item", BAD)
def test_a_bad_item_is_passed_over_and_told(door, item):
    answer = send(door, item, TRACE)
    assert answer["rejected"] == 1
    assert door.execution("trace_1")["workflow"] == "intake"


@pytest.mark.parametrize("item", [
    {**span("x", "agent"), "span_data": 7}, span("x", "custom", data=[1]), span("x", "response", usage=[1]),
    span("x", "response", usage={"input_tokens_details": 3, "output_tokens": "x"}), {**span("x", "agent"), "started_at": 7},
])  # fmt: skip
def test_odd_fields_are_no_fault(door, item):
    assert send(door, item) == {}


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 400), (b'{"data": 7}', 400)])
def test_what_is_no_request_is_400(door, body, status):
    assert door.post(body, path="/v1/traces/ingest", content_type="application/json").status_code == status


def test_too_many_items_are_413(door):
    assert door.api.post("/v1/traces/ingest", json={"data": [7] * 5_001}).status_code == 413
