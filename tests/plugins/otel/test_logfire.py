"""Logfire's spans: names that are templates, the OpenAI Agents SDK's by these alone, and streams that are told twice."""

from __future__ import annotations

import pytest
from tests.plugins.otel.conftest import failed, llm, span


@pytest.fixture
def door(shared_door):
    return shared_door


def told(template, message, **more):
    """Return the attributes of a span of Logfire's."""
    return {"logfire.msg_template": template, "logfire.msg": message, "logfire.span_type": "span", **more}


ROOT = told("OpenAI Agents trace: {name}", "OpenAI Agents trace: order-intake", name="order-intake", group_id="s-1")
AGENT = told("Agent run: {name!r}", "Agent run: 'desk'", name="desk")
TOOL = told("Function: {name}", "Function: ship_order", name="ship_order", input='{"id": "A-1"}', output="sent")


def test_a_run_of_the_openai_agents_sdk_has_its_name_agent_and_tools(door, trace):
    door.export(
        span("Function: {name}", trace, parent="Agent run: {name!r}", attributes=TOOL, **failed()),
        span("Agent run: {name!r}", trace, parent="OpenAI Agents trace: {name}", attributes=AGENT),
        span("OpenAI Agents trace: {name}", trace, attributes=ROOT),
    )  # fmt: skip
    run = door.execution(trace)
    assert (run["workflow"], run["agent"], run["session"]) == ("order-intake", "desk", "s-1")
    kinds = {step["name"]: step["kind"] for step in run["steps"]}
    assert kinds == {"ship_order": "tool", "Agent run: 'desk'": "agent", "OpenAI Agents trace: order-intake": "task"}
    tool = door.steps(trace)["ship_order"]
    assert (tool["input"], tool["output"], tool["attributes"]["otel.span.name"]) == ({"id": "A-1"}, "sent", "Function: {name}")
    assert [error["message"] for error in run["errors"]] == ["ship_order failed"]


def test_a_step_reads_as_its_message_and_a_run_is_named_by_its_template(door, trace):
    """Runs of one template are one workflow, whatever is filled in."""
    door.export(span("order {id}", trace, attributes=told("order {id}", "order A-1", id="A-1")))
    assert (door.execution(trace)["workflow"], *door.steps(trace)) == ("order {id}", "order A-1")


@pytest.mark.parametrize(("more", "calls"), [({}, 1), (failed("slow down"), 2)])
def test_a_streamed_answer_is_one_call(door, trace, more, calls):
    asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    begun = span("chat", trace, parent="root", attributes=told("Chat with {model!r}", "Chat with 'gpt-4o'", **asked), **more)
    line = told("streaming response took {s}", "streaming response took 1", **llm(**{"gen_ai.response.id": f"{trace}-1"}))
    line["logfire.span_type"] = "log"
    door.export(begun, span("log", trace, parent="root", start=9, took=0, attributes=line), span("root", trace))
    assert door.tokens(trace) == (calls, 100, 10)
