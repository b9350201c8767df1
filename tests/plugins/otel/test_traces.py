"""A trace becomes an execution and its spans steps, in whatever pieces and order they come."""

from __future__ import annotations

import itertools

import pytest
from tests.plugins.otel.conftest import failed, llm, span, span_id, trace_id

WORKFLOW = {"gen_ai.workflow.name": "intake", "gen_ai.operation.name": "invoke_workflow"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}


@pytest.fixture
def door(shared_door):
    return shared_door


def tree(trace):
    """Return a small run: a workflow, an agent below it, a model call and a tool below that."""
    return [
        span("call", trace, parent="agent", start=20, attributes=llm(**{"user.id": "ada"})),
        span("tool", trace, parent="agent", start=40, attributes={"gen_ai.operation.name": "execute_tool"}),
        span("agent", trace, parent="root", start=10, took=60, attributes=AGENT | {"session.id": "s-1"}),
        span("root", trace, took=100, attributes=WORKFLOW),
    ]


def test_a_trace_becomes_an_execution_with_a_tree_of_steps(door, trace):
    resource = {"service.name": "desk", "service.version": "1.2", "deployment.environment.name": "prod"}
    door.export(*tree(trace), resource=resource)
    run = door.execution(trace)
    expected = {
        "workflow": "intake", "status": "succeeded", "agent": "triage", "user": "ada", "session": "s-1",
        "environment": "prod", "release": "1.2", "duration_ms": 100,
    }  # fmt: skip
    assert {name: run[name] for name in expected} == expected
    assert run["attributes"]["service.name"] == "desk"
    steps = door.steps(trace)
    kinds = {name: step["kind"] for name, step in steps.items()}
    assert kinds == {"root": "task", "agent": "agent", "call": "llm", "tool": "tool"}
    assert (steps["call"]["parent_id"], steps["agent"]["parent_id"], steps["root"]["parent_id"]) == (
        span_id("agent"), span_id("root"), None,
    )  # fmt: skip


def test_an_agent_with_a_name_counts_before_one_without(door, trace):
    """CrewAI's crew is an agent without a name, whose span is `crewai.workflow`."""
    crew = {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "crewai"}
    door.export(span("crewai.workflow", trace, attributes=crew))
    assert door.execution(trace)["agent"] == "crewai.workflow"
    other = trace_id()
    door.export(span("crewai.workflow", other, attributes=crew), span("a", other, parent="crewai.workflow", attributes=AGENT))
    assert door.execution(other)["agent"] == "triage"


CREATED = {"gen_ai.operation.name": "create_agent", "gen_ai.agent.name": "desk"}


def test_an_agent_that_a_program_makes_is_an_event_and_no_run(door, trace):
    """LangChain's agents by way of Traceloop, AutoGen's and Semantic Kernel's are told of in traces of their own."""
    door.export(span("create_agent desk", trace, attributes=CREATED))
    assert not door.knows(trace)
    components = door.api.get("/api/telemetry/components?range=24h").json["data"]
    assert next(line for line in components if line["component"] == "order-desk")["events"] >= 1


def test_an_agent_that_is_made_in_a_run_or_cannot_be_made_is_a_step(door, trace):
    door.export(span("create_agent desk", trace, parent="root", attributes=CREATED), span("root", trace))
    assert door.steps(trace)["create_agent desk"]["kind"] == "agent"
    other = trace_id()
    door.export(span("create_agent desk", other, attributes=CREATED, **failed("no such model")))
    assert door.execution(other)["status"] == "failed"


@pytest.mark.parametrize(("name", "attribute", "expected"), [
    ("SimpleTool", "tool.name", "lookup_order"), ("FunctionTool.acall", "tool.name", "lookup_order"),
    ("running tool", "gen_ai.tool.name", "lookup_order"), ("execute_tool lookup_order", "gen_ai.tool.name", "execute_tool lookup_order"),
])  # fmt: skip
def test_a_tool_is_called_by_its_own_name(door, trace, name, attribute, expected):
    told = {"openinference.span.kind": "TOOL", attribute: "lookup_order"}
    door.export(span(name, trace, attributes=told, **failed("no courier")))
    [step] = door.execution(trace)["steps"]
    assert (step["name"], step["attributes"].get("otel.span.name", name)) == (expected, name)
    [error] = door.execution(trace)["errors"]
    assert door.api.get(f"/api/errors/{error['id']}").json["attributes"]["step"] == expected


def test_what_puts_a_call_together_is_no_call(door, trace):
    """LlamaIndex has spans of the kind LLM for it."""
    told = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"}
    made = {"output.value": '{"messages": ["user: hi"], "tools": []}'}
    door.export(
        span("prepare", trace, attributes=told | made), span("stream", trace, attributes=told | {"output.value": "hello"}),
        span("other", trace, attributes=told | made | {"llm.finish_reason": "stop"}),
    )  # fmt: skip
    assert {name: step["kind"] for name, step in door.steps(trace).items()} == {"prepare": "task", "stream": "llm", "other": "llm"}
    assert door.tokens(trace)[0] == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::4])
def test_each_span_may_come_by_itself_in_any_order(door, trace, order):
    spans = tree(trace)
    for place in order:
        door.export(spans[place])
    run = door.execution(trace)
    assert (run["workflow"], run["status"], run["agent"], run["user"], run["session"]) == (
        "intake", "succeeded", "triage", "ada", "s-1",
    )  # fmt: skip
    assert (len(run["steps"]), run["duration_ms"]) == (4, 100)
    assert door.tokens(trace) == (1, 100, 10)


def test_children_show_a_running_execution_until_their_root_comes(door, trace):
    door.export(tree(trace)[0])
    run = door.execution(trace)
    assert (run["status"], run["workflow"], run["user"]) == ("running", None, "ada")
    door.export(tree(trace)[3])
    assert door.execution(trace)["status"] == "succeeded"


def test_the_same_batch_twice_changes_nothing(door, trace):
    door.export(*tree(trace))
    before = door.execution(trace)
    assert door.export(*tree(trace)).json == {}
    assert door.execution(trace) == before


def test_a_span_without_an_end_runs(door, trace):
    door.export(span("root", trace, took=None))
    run = door.execution(trace)
    assert (run["status"], run["finished_at"], run["steps"][0]["status"]) == ("running", None, "running")


def test_an_end_before_the_start_is_no_negative_duration(door, trace):
    door.export(span("root", trace, took=-500))
    assert door.execution(trace)["duration_ms"] == 0


def test_a_failed_root_is_a_failed_execution(door, trace):
    door.export(span("root", trace, **failed("no")))
    assert (door.execution(trace)["status"], door.steps(trace)["root"]["status"]) == ("failed", "failed")


IS_REMOTE = 0x300


@pytest.mark.parametrize("more", [{"flags": IS_REMOTE}, {"kind": 2}, {"kind": "SPAN_KIND_CONSUMER"}])
def test_a_span_whose_parent_is_in_another_program_ends_the_execution(door, trace, more):
    door.export(span("handle", trace, parent="somewhere else", **more))
    assert (door.execution(trace)["status"], door.execution(trace)["workflow"]) == ("succeeded", "handle")


def test_who_began_a_trace_names_and_starts_it_whoever_ends_it(door, trace):
    worker = span("send mail", trace, parent="publish", start=20, took=50, kind=5)
    door.export(worker)
    run = door.execution(trace)
    assert (run["workflow"], run["duration_ms"], run["trigger"]) == ("send mail", 50, "queue")
    for told in (span("POST /orders", trace, took=30, kind=2), worker):
        door.export(told)
        run = door.execution(trace)
        assert (run["workflow"], run["duration_ms"], run["trigger"]) == ("POST /orders", 70, "http")


def test_a_server_span_that_is_known_to_be_a_local_child_ends_nothing(door, trace):
    door.export(span("handle", trace, parent="root", kind=2, flags=0x100))
    assert door.execution(trace)["status"] == "running"


def test_the_outermost_program_has_the_last_word(door, trace):
    door.export(span("inner", trace, parent="root", start=5, took=10, kind=2, **failed("x")))
    assert door.execution(trace)["status"] == "failed"
    door.export(span("root", trace, took=100))
    run = door.execution(trace)
    assert (run["status"], run["workflow"], run["duration_ms"]) == ("succeeded", "root", 100)


@pytest.mark.parametrize(("kind", "trigger"), [(2, "http"), (5, "queue"), (1, None)])
def test_the_kind_of_the_root_tells_what_set_it_off(door, trace, kind, trigger):
    door.export(span("root", trace, kind=kind))
    assert door.execution(trace)["trigger"] == trigger


WORKFLOWS = [
    ({"gen_ai.workflow.name": "a"}, "a"),
    ({"traceloop.workflow.name": "a"}, "a"),
    ({"traceloop.span.kind": "workflow", "traceloop.entity.name": "a"}, "a"),
    ({"langfuse.trace.name": "a"}, "a"),
    ({"ai.telemetry.functionId": "a", "ai.operationId": "ai.generateText"}, "a"),
    (AGENT, "triage"),
    ({"openinference.span.kind": "AGENT", "agent.name": "triage"}, "triage"),
    ({"openinference.span.kind": "CHAIN", "agent.name": "triage"}, "root"),
    ({}, "root"),
]


@pytest.mark.parametrize(("attributes", "workflow"), WORKFLOWS)
def test_the_workflow_is_named_or_takes_the_root_s_name(door, trace, attributes, workflow):
    door.export(span("root", trace, attributes=attributes))
    assert door.execution(trace)["workflow"] == workflow


KINDS = [
    ({"gen_ai.operation.name": "embeddings"}, "llm"),
    ({"gen_ai.operation.name": "acompletion"}, "llm"), ({"gen_ai.operation.name": "aresponses"}, "llm"),
    ({"gen_ai.operation.name": "embedding"}, "llm"), ({"gen_ai.operation.name": "arerank"}, "retrieval"),
    ({"gen_ai.operation.name": "execute_task"}, "task"),
    ({"gen_ai.operation.name": "something new"}, "other"),
    ({"gen_ai.request.model": "m"}, "llm"),
    ({"llm.request.type": "chat"}, "llm"),
    ({"openinference.span.kind": "RETRIEVER"}, "retrieval"),
    ({"openinference.span.kind": "EMBEDDING"}, "llm"),
    ({"langfuse.observation.type": "retriever"}, "retrieval"),
    ({"langfuse.observation.type": "guardrail"}, "task"),
    ({"traceloop.span.kind": "tool"}, "tool"),
    ({"ai.operationId": "ai.toolCall"}, "tool"),
    ({"ai.operationId": "ai.streamText.doStream"}, "llm"),
    ({"ai.operationId": "ai.streamText"}, "task"),
    ({"http.request.method": "GET"}, "other"),
    ({"gen_ai.operation.name": ["chat"]}, "other"),
]


@pytest.mark.parametrize(("attributes", "kind"), KINDS)
def test_the_kind_of_a_step_is_told_by_its_dialect(door, trace, attributes, kind):
    door.export(span("root", trace, attributes=attributes))
    assert door.steps(trace)["root"]["kind"] == kind


PEOPLE = [
    ("user.id", "user"), ("enduser.id", "user"), ("langfuse.user.id", "user"), ("gen_ai.user", "user"), ("llm.user", "user"),
    ("traceloop.association.properties.user_id", "user"), ("ai.telemetry.metadata.userId", "user"),
    ("session.id", "session"), ("gen_ai.conversation.id", "session"), ("langfuse.session.id", "session"),
    ("traceloop.association.properties.thread_id", "session"), ("ai.telemetry.metadata.sessionId", "session"),
    ("gcp.vertex.agent.session_id", "session"),
    ("langfuse.environment", "environment"), ("langfuse.release", "release"), ("gen_ai.agent.name", "agent"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "field"), PEOPLE)
def test_whom_a_run_belongs_to_has_many_names(door, trace, name, field):
    door.export(span("root", trace, attributes={name: " x-1 ", "gen_ai.operation.name": "chat"}))
    assert door.execution(trace)[field] == "x-1"


@pytest.mark.parametrize("name", ["deployment.environment.name", "deployment.environment"])
def test_the_environment_of_the_resource_has_two_names(door, trace, name):
    door.export(span("root", trace), resource={name: "staging"})
    assert door.execution(trace)["environment"] == "staging"


def pending(name, trace, parent):
    told = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": parent}
    return {**span(f"{name} (pending)", trace, parent=name, took=0, attributes=told), "spanId": "ff" * 8}


def test_a_pending_span_opens_a_running_step_which_the_real_one_closes(door, trace):
    door.export(pending("root", trace, "0" * 16))
    run = door.execution(trace)
    assert (run["status"], run["workflow"], [s["id"] for s in run["steps"]]) == ("running", "root", [span_id("root")])
    door.export(pending("child", trace, span_id("root")))
    assert door.steps(trace)["child"]["parent_id"] == span_id("root")
    door.export(span("child", trace, parent="root"), span("root", trace))
    run = door.execution(trace)
    assert (run["status"], {s["status"] for s in run["steps"]}, len(run["steps"])) == ("succeeded", {"succeeded"}, 2)


def test_a_pending_span_without_a_parent_announces_nothing(door, trace):
    alone = span("root", trace, attributes={"logfire.span_type": "pending_span"})
    assert door.export(alone).json == {}
    assert not door.knows(trace)


@pytest.mark.parametrize("attributes", [{"logfire.span_type": "log"}, {"langfuse.observation.type": "event"}])
def test_a_span_that_only_notes_something_is_a_step_and_an_event(door, trace, attributes):
    noted = span("order taken", trace, parent="root", took=0, attributes=attributes | {"cents": 5})
    door.export(noted, span("root", trace), resource={"service.name": trace})
    assert "order taken" in door.steps(trace)
    summary = door.api.get("/api/telemetry/components?range=24h").json["data"]
    assert {line["component"]: line["events"] for line in summary}[trace] == 1


def test_attributes_events_and_scope_are_kept_with_the_step(door, trace):
    noted = {"name": "cache miss", "timeUnixNano": "5000000", "attributes": [{"key": "k", "value": {"intValue": 1}}]}
    chunk = {"name": "gen_ai.content.completion.chunk"}
    door.export(span("root", trace, kind=3, attributes={"x": [1, {"y": None}]}, events=[noted, chunk]), scope="lib")
    found = door.steps(trace)["root"]["attributes"]
    assert found == {
        "x": [1, {"y": None}], "otel.scope.name": "lib", "otel.span.kind": "client",
        "otel.events": [{"name": "cache miss", "at": 5, "attributes": {"k": 1}}],
    }  # fmt: skip


def test_long_names_are_cut_and_empty_ones_replaced(door, trace):
    door.export({**span("x", trace, parent="root"), "name": ""}, {**span("root", trace), "name": "n" * 300})
    run = door.execution(trace)
    assert len(run["workflow"]) == 255
    assert {step["name"][:7] for step in run["steps"]} == {"unnamed", "n" * 7}


def test_two_traces_of_one_request_are_two_executions(door):
    one, two = trace_id(), trace_id()
    door.export(span("root", one), span("root", two, **failed("x")))
    assert (door.execution(one)["status"], door.execution(two)["status"]) == ("succeeded", "failed")


def test_free_tags_are_kept_with_the_execution(door, trace):
    told = {"langfuse.trace.metadata.run": "7", "langfuse.trace.tags": ["nightly"], "langfuse.observation.type": "span"}
    door.export(span("root", trace, attributes=told))
    found = door.execution(trace)["attributes"]
    assert (found["langfuse.trace.metadata.run"], found["langfuse.trace.tags"]) == ("7", ["nightly"])
