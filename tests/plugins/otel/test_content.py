"""Prompts, answers, arguments and results, wherever a dialect puts them."""

from __future__ import annotations

import json

import pytest
from tests.plugins.otel.conftest import attributes, llm, span, span_id

MESSAGES = [{"role": "user", "content": "hi"}]
ANSWER = [{"role": "assistant", "content": "yes"}]
TEXT = json.dumps(MESSAGES)

INPUTS = [
    ({"gen_ai.input.messages": TEXT}, MESSAGES),
    ({"langfuse.observation.input": "plain words"}, "plain words"),
    ({"gen_ai.tool.call.arguments": '{"city": "Lisbon"}'}, {"city": "Lisbon"}),
    ({"traceloop.entity.input": "{broken"}, "{broken"),
    ({"gen_ai.system": "gcp", "gcp.vertex.agent.llm_request": "{}", "gcp.vertex.agent.tool_call_args": TEXT}, MESSAGES),
    ({"input.value": TEXT, "input.mime_type": "application/json", "llm.input_messages.0.message.role": "user"}, MESSAGES),
    ({"gen_ai.prompt.1.content": "b", "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "a"},
     [{"role": "system", "content": "a"}, {"content": "b"}]),
    ({"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "hi"}, MESSAGES),
    ({"ai.prompt": "", "ai.prompt.messages": TEXT}, MESSAGES),
    ({"gen_ai.input.messages": [{"role": "user"}]}, [{"role": "user"}]),
    ({"gen_ai.request.model": "m"}, None),
]  # fmt: skip
OUTPUTS = [
    ({"gen_ai.output.messages": TEXT}, MESSAGES),
    ({"langfuse.observation.output": '"text"'}, '"text"'),
    ({"gen_ai.tool.call.result": "19 degrees"}, "19 degrees"),
    ({"gen_ai.system": "gcp", "gcp.vertex.agent.llm_response": "{}", "gcp.vertex.agent.tool_response": TEXT}, MESSAGES),
    ({"output.value": '{"id": "chatcmpl-1"}'}, {"id": "chatcmpl-1"}),
    ({"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "yes"}, ANSWER),
    ({"ai.response.text": "yes"}, "yes"),
    ({"final_result": "done", "pydantic_ai.all_messages": TEXT}, "done"),
]


@pytest.fixture
def door(shared_door):
    return shared_door


@pytest.mark.parametrize(("told", "expected"), INPUTS)
def test_what_went_in_is_the_step_s_input(door, trace, told, expected):
    door.export(span("root", trace, attributes=told))
    step = door.steps(trace)["root"]
    assert step["input"] == expected
    assert not [name for name in step["attributes"] if "input" in name or "prompt" in name]


@pytest.mark.parametrize(("told", "expected"), OUTPUTS)
def test_what_came_out_is_the_step_s_output(door, trace, told, expected):
    door.export(span("root", trace, attributes=told))
    step = door.steps(trace)["root"]
    assert (step["output"], door.execution(trace)["output"]) == (expected, expected)


def event(name, **told):
    return {"name": name, "timeUnixNano": "1000000", "attributes": attributes(told)}


def test_content_may_stand_in_events_of_the_span(door, trace):
    events = [
        event("gen_ai.content.prompt", **{"gen_ai.prompt": "hi"}),
        event("gen_ai.content.completion", **{"gen_ai.completion": "yes"}),
    ]
    door.export(span("root", trace, attributes=llm(), events=events))
    step = door.steps(trace)["root"]
    assert (step["input"], step["output"]) == ("hi", "yes")
    assert "otel.events" not in step["attributes"]


def test_content_may_stand_in_one_event_a_message(door, trace):
    events = [
        event("gen_ai.system.message", content="Be brief."), event("gen_ai.user.message", content="hi"),
        event("gen_ai.choice", content="yes", **{"gen_ai.system": "openai"}),
    ]  # fmt: skip
    door.export(span("root", trace, attributes=llm(), events=events))
    step = door.steps(trace)["root"]
    assert step["input"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert step["output"] == [{"role": "assistant", "content": "yes"}]


def log(trace, name, told=None, body=None, **more):
    record = {
        "traceId": trace, "spanId": span_id("root"), "flags": 1, "eventName": name, "timeUnixNano": "1795427000000000000",
        "attributes": attributes(told or {}), **more,
    }  # fmt: skip
    return record | ({"body": body} if body else {})


def export(door, *records):
    answer = door.api.post("/v1/logs", json={"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]})
    assert answer.json == {}


DETAILS = llm(**{"gen_ai.input.messages": TEXT, "gen_ai.output.messages": TEXT})


@pytest.mark.parametrize("log_first", [True, False])
def test_content_may_come_as_a_log_record_before_or_after_its_span(door, trace, log_first):
    name = "gen_ai.client.inference.operation.details"
    deliveries = [lambda: export(door, log(trace, name, DETAILS)), lambda: door.export(span("root", trace, attributes=llm()))]
    for deliver in deliveries if log_first else deliveries[::-1]:
        deliver()
    step = door.steps(trace)["root"]
    assert (step["input"], step["output"], step["status"], step["kind"]) == (MESSAGES, MESSAGES, "succeeded", "llm")
    assert door.execution(trace)["status"] == "succeeded"


def test_content_may_come_as_one_log_record_a_message(door, trace):
    body = {"kvlistValue": {"values": attributes({"content": "hi"})}}
    export(door, log(trace, "gen_ai.user.message", body=body), log(trace, "gen_ai.choice", body=body))
    door.export(span("root", trace, attributes=llm()))
    step = door.steps(trace)["root"]
    assert (step["input"], step["output"]) == ([{"role": "user", "content": "hi"}], [{"role": "assistant", "content": "hi"}])


def test_content_of_a_trace_that_is_not_sent_is_an_event(door, trace):
    export(door, log(trace, "gen_ai.client.inference.operation.details", DETAILS, flags=0))
    assert not door.knows(trace)


def test_a_long_text_is_kept_whole_and_a_longer_one_is_cut(door, trace):
    told = {"gen_ai.input.messages": "x" * 70_000, "gen_ai.output.messages": "y" * 300_000}
    door.export(span("root", trace, attributes=told))
    step = door.steps(trace)["root"]
    assert (len(step["input"]), len(step["output"]), step["output"][-1]) == (70_000, 262_144, "…")


def test_json_that_is_nested_too_deep_stays_text(door, trace):
    deep = "[" * 3_000 + "]" * 3_000
    door.export(span("root", trace, attributes={"gen_ai.input.messages": deep}))
    assert door.steps(trace)["root"]["input"] == deep
