"""Transactions and spans become executions, steps and token usage, in whichever order and spelling they come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.plugins.sentry.conftest import Sentry

from pilothouse.sdk import Execution, Signal, Step, TokenUsage
from pilothouse.testing import Api
from pilothouse_sentry import traces
from pilothouse_sentry.envelope import Scope
from pilothouse_sentry.spans import status_of

TRACE, ROOT = "b" * 32, "a" * 16
START, END = 1795425545.0, 1795425546.5
SCOPE = Scope(now=1_795_500_000_000, release="shop@1", environment="production")


def transaction(*spans: dict[str, Any], **more: Any) -> dict[str, Any]:
    trace = {"trace_id": TRACE, "span_id": ROOT, "op": more.pop("op", "workflow.run"), **more.pop("trace", {})}
    return {"type": "transaction", "transaction": "order-intake", "contexts": {"trace": trace}, "start_timestamp": START,
            "timestamp": END, "spans": list(spans), **more}  # fmt: skip


def child(span_id: str, op: str = "db", **more: Any) -> dict[str, Any]:
    return {"trace_id": TRACE, "span_id": span_id, "parent_span_id": ROOT, "op": op, "description": f"does {op}",
            "start_timestamp": START, "timestamp": END, **more}  # fmt: skip


def streamed(span_id: str, op: str = "db", **more: Any) -> dict[str, Any]:
    attributes = {"sentry.op": op, **more.pop("attributes", {})}
    typed = {name: {"value": value, "type": "string"} for name, value in attributes.items()}
    return {"trace_id": TRACE, "span_id": span_id, "parent_span_id": ROOT, "name": f"does {op}", "start_timestamp": START,
            "end_timestamp": END, "is_segment": False, "status": "ok", "attributes": typed, **more}  # fmt: skip


def segment(**more: Any) -> dict[str, Any]:
    return streamed(ROOT, "workflow.run", name="order-intake", is_segment=True, parent_span_id=None, **more)


def of_transaction(*args: Any, **more: Any) -> list[Signal]:
    return [signal for _, signal in traces.of_transaction(transaction(*args, **more), SCOPE, 0)]


def of_items(*spans: dict[str, Any]) -> list[Signal]:
    return [signal for _, signal in traces.of_items({"version": 2, "items": list(spans)}, SCOPE, 0)]


def only(kind: type[Any], signals: list[Signal]) -> Any:
    (found,) = [signal for signal in signals if isinstance(signal, kind)]
    return found


def steps_of(signals: list[Signal]) -> dict[str, Step]:
    return {signal.id: signal for signal in signals if isinstance(signal, Step)}


def test_a_transaction_is_an_execution_with_its_spans_as_steps() -> None:
    signals = of_transaction(child("1" * 16), tags={"agent": "pricing"}, user={"id": "u-1"})
    run, steps = only(Execution, signals), steps_of(signals)
    assert (run.id, run.workflow, run.status, run.agent, run.user) == (TRACE, "order-intake", "succeeded", "pricing", "u-1")
    assert (run.started_at, run.finished_at, run.release) == (1_795_425_545_000, 1_795_425_546_500, "shop@1")
    assert {key: step.parent_id for key, step in steps.items()} == {ROOT: None, "1" * 16: ROOT}


def test_a_tag_names_the_workflow_before_the_transaction_does() -> None:
    assert only(Execution, of_transaction(tags={"workflow": "billing"})).workflow == "billing"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (None, "succeeded"), ("ok", "succeeded"), ("unknown", "succeeded"), ("cancelled", "cancelled"), ("aborted", "cancelled"),
        ("deadline_exceeded", "timed_out"), ("internal_error", "failed"), ("error", "failed"), ("not_found", "failed"),
        ("OK", "succeeded"), (7, "failed"),
    ],
)  # fmt: skip
def test_statuses_are_those_that_sentry_counts_as_failures(said: object, status: str) -> None:
    assert status_of(said) == status


@pytest.mark.parametrize(
    ("op", "trigger"),
    [("http.server", "http"), ("queue.task.celery", "queue"), ("queue.process", "queue"), ("workflow.run", None)],
)
def test_the_operation_says_what_set_it_off(op: str, trigger: str | None) -> None:
    assert only(Execution, of_transaction(op=op)).trigger == trigger


def test_a_transaction_without_a_trace_gives_nothing() -> None:
    assert traces.of_transaction({"transaction": "x"}, SCOPE, 0) == []
    assert traces.of_transaction({"contexts": {"trace": {"trace_id": TRACE}}, "spans": "none"}, SCOPE, 0) == []


def test_spans_without_ids_are_left_out() -> None:
    assert len(steps_of(of_transaction({"op": "db"}, {"span_id": 7}, child(ROOT)))) == 1
    assert of_items({"name": "x"}, {"trace_id": TRACE}) == []


def test_the_segment_closes_the_execution() -> None:
    run = only(Execution, of_items(streamed("1" * 16), segment(status="error")))
    assert (run.workflow, run.status, run.finished_at) == ("order-intake", "failed", 1_795_425_546_500)


def test_without_its_segment_an_execution_runs() -> None:
    run = only(Execution, of_items(streamed("1" * 16, attributes={"sentry.segment.name": "order-intake"})))
    assert (run.workflow, run.status, run.finished_at) == ("order-intake", "running", None)


def test_a_span_without_an_end_is_an_open_step() -> None:
    signals = of_items(segment(end_timestamp=None))
    assert only(Step, signals).status == only(Execution, signals).status == "running"


def test_traces_of_one_item_are_told_apart() -> None:
    runs = [signal for signal in of_items(segment(), segment(trace_id="d" * 32)) if isinstance(signal, Execution)]
    assert {run.id for run in runs} == {TRACE, "d" * 32}


def test_a_lone_span_of_the_older_spelling_is_read() -> None:
    items = traces.of_items({**child("1" * 16), "is_segment": True}, SCOPE, 0)
    assert [type(signal) for _, signal in items] == [Execution, Execution, Step]
    assert traces.of_items(streamed("1" * 16), SCOPE, 0)


@pytest.mark.parametrize(
    ("op", "attributes", "kind"),
    [
        ("gen_ai.chat", {}, "llm"), ("gen_ai.embeddings", {}, "llm"), ("gen_ai.invoke_agent", {}, "agent"),
        ("gen_ai.execute_tool", {}, "tool"), ("gen_ai.handoff", {}, "other"), ("ai.run.langchain", {}, "agent"),
        ("ai.pipeline.openai", {}, "task"), ("ai.chat_completions.create.openai", {}, "llm"),
        ("", {"gen_ai.request.model": "m"}, "llm"), ("", {"gen_ai.operation.name": "execute_tool"}, "tool"),
        ("workflow.step", {}, "task"), ("queue.task.celery", {}, "task"), ("http.client", {}, "other"), ("", {}, "other"),
    ],
)  # fmt: skip
def test_the_operation_says_what_kind_of_step_it_is(op: str, attributes: dict[str, Any], kind: str) -> None:
    assert steps_of(of_items(streamed("1" * 16, op, attributes=attributes)))["1" * 16].kind == kind


PYTHON = {"gen_ai.usage.input_tokens": 220, "gen_ai.usage.input_tokens.cached": 64, "gen_ai.usage.output_tokens": 278,
          "gen_ai.usage.output_tokens.reasoning": 256, "gen_ai.usage.input_tokens.cache_write": 10}  # fmt: skip
NODE = {"gen_ai.usage.input_tokens": 220, "gen_ai.usage.cache_read.input_tokens": 64, "gen_ai.usage.output_tokens": 278,
        "gen_ai.usage.reasoning.output_tokens": 256, "gen_ai.usage.cache_creation.input_tokens": 10}  # fmt: skip


@pytest.mark.parametrize("figures", [PYTHON, NODE])
def test_tokens_are_read_in_both_spellings(figures: dict[str, int]) -> None:
    models = {"gen_ai.request.model": "gpt-5-mini", "gen_ai.response.model": "gpt-5-mini-2025-08-07", "gen_ai.system": "OpenAI"}
    usage = only(TokenUsage, of_items(streamed("1" * 16, "gen_ai.chat", attributes={**models, **figures})))
    assert (usage.prompt_tokens, usage.completion_tokens) == (220, 278)
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (64, 10, 256)
    assert (usage.model, usage.request_model, usage.provider) == ("gpt-5-mini-2025-08-07", "gpt-5-mini", "openai")


@pytest.mark.parametrize(("more", "provider"), [
    ({}, "openai.responses"), ({"vercel.ai.model.provider": "openai.responses"}, "openai"),
    ({"gen_ai.provider.name": "openai-chat"}, "openai"),
])  # fmt: skip
def test_vercel_s_sdk_and_langchain_add_the_interface_to_the_provider(more: dict[str, str], provider: str) -> None:
    told = {"gen_ai.provider.name": "OpenAI.responses", **more, **NODE}
    assert only(TokenUsage, of_items(streamed("1" * 16, "gen_ai.chat", attributes=told))).provider == provider


def test_tokens_of_the_first_sdks_are_read() -> None:
    span = child("1" * 16, "ai.chat_completions.create.openai", data={"ai.model_id": "gpt-4"},
                 measurements={"ai_prompt_tokens_used": {"value": 7.0}, "ai_total_tokens_used": {"value": 12}})  # fmt: skip
    usage = only(TokenUsage, of_transaction(span))
    assert (usage.model, usage.prompt_tokens) == ("gpt-4", 7)


def test_a_total_alone_is_a_prompt() -> None:
    usage = only(TokenUsage, of_items(streamed("1" * 16, "gen_ai.embeddings", attributes={"gen_ai.usage.total_tokens": "9"})))
    assert (usage.prompt_tokens, usage.completion_tokens, usage.model) == (9, 0, "unknown")


def test_parts_beside_the_whole_are_added_to_it() -> None:
    figures = {"gen_ai.usage.input_tokens": 90, "gen_ai.usage.cache_read.input_tokens": 4096, "gen_ai.usage.output_tokens": 1}
    usage = only(TokenUsage, of_items(streamed("1" * 16, "gen_ai.chat", attributes=figures)))
    assert usage.prompt_tokens == 90 + 4096


def test_a_call_that_tells_of_no_tokens_is_a_call_of_none() -> None:
    usage = only(TokenUsage, of_items(streamed("1" * 16, "gen_ai.chat", status="error")))
    assert (usage.prompt_tokens, usage.completion_tokens, usage.usage_source) == (0, 0, "none")


def test_a_call_belongs_to_the_agent_above_it() -> None:
    agent = streamed("1" * 16, "gen_ai.invoke_agent", attributes={"gen_ai.agent.name": "pricing", **NODE})
    call = streamed("2" * 16, "gen_ai.chat", parent_span_id="1" * 16, attributes=NODE)
    usages = [signal for signal in of_items(agent, call) if isinstance(signal, TokenUsage)]
    assert [(usage.agent, usage.provisional) for usage in usages] == [("pricing", True), ("pricing", False)]


def test_a_circle_of_spans_ends() -> None:
    first = streamed("1" * 16, "gen_ai.chat", parent_span_id="2" * 16)
    second = streamed("2" * 16, "gen_ai.chat", parent_span_id="1" * 16)
    assert len([signal for signal in of_items(first, second) if isinstance(signal, TokenUsage)]) == 2


def test_prompts_and_answers_are_the_steps_input_and_output() -> None:
    attributes = {"gen_ai.request.messages": '[{"role": "user"}]', "gen_ai.response.text": "[broken", "shop": "A"}
    step = only(Step, of_items(streamed("1" * 16, "gen_ai.chat", attributes=attributes)))
    assert (json.loads(bytes(step.input)), json.loads(bytes(step.output))) == ([{"role": "user"}], "[broken")
    assert json.loads(bytes(step.attributes)) == {"shop": "A", "sentry.op": "gen_ai.chat"}


def test_who_began_a_trace_names_it_whoever_ends_it(sentry: Sentry, api: Api) -> None:
    """A task that a request has put into a queue ends after it; until the request tells, the task's name is all there is."""
    trace = {"span_id": "7" * 16, "parent_span_id": ROOT}
    task = {**transaction(transaction="send-mail", trace=trace), "start_timestamp": END + 50, "timestamp": END + 60}
    sentry.send(("transaction", task))
    run = api.get(f"/api/executions/{TRACE}").json
    assert (run["workflow"], run["duration_ms"]) == ("send-mail", 10_000)
    for told in (transaction(transaction="POST /orders"), task):
        sentry.send(("transaction", told))
        run = api.get(f"/api/executions/{TRACE}").json
        assert (run["workflow"], run["status"], run["duration_ms"]) == ("POST /orders", "succeeded", (END + 60 - START) * 1_000)


def test_a_call_in_a_transaction_and_beside_it_counts_once(sentry: Sentry, api: Api) -> None:
    inside = child("1" * 16, "gen_ai.chat", data={"gen_ai.response.model": "gpt-4o-mini", **NODE})
    beside = streamed("1" * 16, "gen_ai.chat", attributes={"gen_ai.response.model": "gpt-4o-mini", **NODE})
    assert sentry.send(("transaction", transaction(inside)), ("span", {"items": [beside]})).status_code == 200
    assert api.get(f"/api/executions/{TRACE}").json["total_tokens"] == 220 + 278


def test_a_call_with_one_answer_in_two_spans_counts_once(sentry: Sentry, api: Api) -> None:
    answered = {"gen_ai.response.model": "gpt-4o-mini", "gen_ai.response.id": "chatcmpl-1", **NODE}
    spans = [streamed(span_id * 16, "gen_ai.chat", attributes=answered) for span_id in "12"]
    sentry.send(("span", {"items": [*spans, segment()]}))
    assert api.get(f"/api/executions/{TRACE}").json["total_tokens"] == 220 + 278


def test_sums_of_agents_are_replaced_by_their_calls(sentry: Sentry, api: Api) -> None:
    model = {"gen_ai.response.model": "gpt-4o-mini"}
    sentry.send(("span", {"items": [streamed("1" * 16, "gen_ai.invoke_agent", attributes={**model, **NODE})]}))
    assert api.get(f"/api/executions/{TRACE}").json["total_tokens"] == 498
    call = streamed("2" * 16, "gen_ai.chat", parent_span_id="1" * 16, attributes={**model, **NODE})
    sentry.send(("span", {"items": [call, segment()]}))
    assert api.get(f"/api/executions/{TRACE}").json["total_tokens"] == 498


def test_calls_side_by_side_count_each_though_one_hangs_under_the_other(sentry: Sentry, api: Api) -> None:
    told = {"gen_ai.response.model": "gpt-4o-mini", "sentry.origin": "auto.ai.openai", "sentry.sdk.name": "sentry.python", **NODE}
    calls = [streamed(n * 16, "gen_ai.chat", parent_span_id=above * 16, attributes=told) for n, above in ("32", "21")]
    around = streamed("1" * 16, "gen_ai.chat", attributes={**told, "sentry.origin": "manual"})
    sentry.send(("span", {"items": [*calls, around, segment()]}))
    usage = api.get(f"/api/executions/{TRACE}").json["token_usage"]
    assert (usage["calls"], usage["prompt_tokens"]) == (2, 2 * 220)


def test_a_failed_call_that_two_spans_tell_of_is_one(sentry: Sentry, api: Api) -> None:
    outer = streamed("1" * 16, "gen_ai.chat", status="error", attributes={"sentry.sdk.name": "sentry.javascript.node"})
    inner = streamed("2" * 16, "gen_ai.chat", status="error", parent_span_id="1" * 16)
    sentry.send(("span", {"items": [inner, outer, segment()]}))
    assert api.get(f"/api/executions/{TRACE}").json["token_usage"]["calls"] == 1


def test_an_agent_whose_only_call_failed_has_made_one_call(sentry: Sentry, api: Api) -> None:
    none = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0, "gen_ai.usage.total_tokens": 0}
    agent = streamed("1" * 16, "gen_ai.invoke_agent", status="error", attributes=none)
    call = streamed("2" * 16, "gen_ai.chat", parent_span_id="1" * 16, status="error")
    sentry.send(("span", {"items": [call, agent, segment()]}))
    assert api.get(f"/api/executions/{TRACE}").json["token_usage"]["calls"] == 1


def test_an_error_joins_the_execution_of_its_trace_in_any_order(sentry: Sentry, api: Api) -> None:
    event = {"event_id": "e" * 32, "message": "x", "level": "error", "contexts": {"trace": {"trace_id": TRACE, "op": "x"}}}
    sentry.send(("event", event), header={"trace": {"sampled": "true"}})
    assert api.get(f"/api/executions/{TRACE}").json["status"] == "running"
    sentry.send(("transaction", transaction(trace={"status": "internal_error"})))
    run = api.get(f"/api/executions/{TRACE}").json
    assert (run["status"], run["error_count"], run["workflow"]) == ("failed", 1, "order-intake")
