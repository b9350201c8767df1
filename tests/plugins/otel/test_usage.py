"""Tokens by the normaliser's rules: which fields count, what includes what, each call once."""

from __future__ import annotations

import json

import pytest
from tests.plugins.otel.conftest import llm, request_of, span, trace_id

from pilothouse_otel.usage import cost_text, fields_of, model_of, provider_of, response_of, usage_of


def usage(**told):
    """Return prompt, completion, cached, cache write and reasoning tokens of attributes whose names have dots."""
    found = usage_of(told, fields_of(tuple(told)))
    return found and (found.prompt, found.completion, found.cached, found.cache_write, found.reasoning)


SPELLINGS = [
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.cache_read.input_tokens": 4,
      "gen_ai.usage.cache_write.input_tokens": 2, "gen_ai.usage.reasoning.output_tokens": 3}, (10, 5, 4, 2, 3)),
    ({"gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 5, "gen_ai.usage.cache_read_input_tokens": 4,
      "gen_ai.usage.cache_creation_input_tokens": 2}, (10, 5, 4, 2, None)),
    ({"llm.token_count.prompt": 10, "llm.token_count.completion": 5, "llm.token_count.prompt_details.cache_read": 4,
      "llm.token_count.completion_details.reasoning": 3}, (10, 5, 4, None, 3)),
    ({"ai.usage.inputTokens": 10, "ai.usage.outputTokens": 5, "ai.usage.cachedInputTokens": 4, "ai.usage.reasoningTokens": 3},
     (10, 5, 4, None, 3)),
    ({"ai.usage.promptTokens": 10, "ai.usage.completionTokens": 5}, (10, 5, None, None, None)),
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.input_tokens.cached": 4,
      "gen_ai.usage.output_tokens.reasoning": 3}, (10, 5, 4, None, 3)),
    ({"gen_ai.usage.input_tokens": "10", "gen_ai.usage.output_tokens": 5.0}, (10, 5, None, None, None)),
    ({"ai.usage.tokens": 7}, (7, 0, None, None, None)),
    ({"llm.usage.total_tokens": 15, "gen_ai.usage.completion_tokens": 5}, (10, 5, None, None, None)),
    ({"gen_ai.usage.input_tokens": -1, "llm.usage.prompt_tokens": 10}, (10, 0, None, None, None)),
    ({"gen_ai.usage.input_tokens": True, "gen_ai.usage.output_tokens": "many"}, None),
    ({"gen_ai.usage.input_tokens": 10**30, "gen_ai.usage.output_tokens": "9" * 17}, None),
    ({"gen_ai.aggregated_usage.input_tokens": 10, "gen_ai.aggregated_usage.output_tokens": 5}, None),
    ({}, None),
]  # fmt: skip


@pytest.mark.parametrize(("told", "expected"), SPELLINGS)
def test_every_spelling_gives_the_same_tokens(told, expected):
    assert usage(**told) == expected


def test_the_new_name_counts_before_the_old_one_and_the_explicit_one_before_both():
    told = {"llm.token_count.prompt": 1, "gen_ai.usage.prompt_tokens": 2, "gen_ai.usage.input_tokens": 3}
    assert usage(**told)[0] == 3
    assert usage(**told, **{"langfuse.observation.usage_details": '{"input": 4}'})[0] == 4


OPENAI_S = '{"prompt_tokens": 22, "completion_tokens": 15, "prompt_tokens_details": {"cached_tokens": 8}}'
ANTHROPIC_S = '{"input_tokens": 12, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0, "output_tokens": 15}'


@pytest.mark.parametrize(("raw", "more", "expected"), [
    (OPENAI_S, {}, (22, 15, 8, None, None)), (ANTHROPIC_S, {}, (22, 15, 10, 0, None)), ("{", {}, (22, 15, None, None, None)),
    (OPENAI_S, {"gen_ai.usage.cache_read.input_tokens": 3}, (22, 15, 3, None, None)),
    ('{"prompt_tokens": 99, "prompt_tokens_details": {"cached_tokens": 8}}', {}, (22, 15, None, None, None)),
])  # fmt: skip
def test_the_provider_s_own_usage_tells_the_parts_that_nothing_else_does(raw, more, expected):
    told = {"gen_ai.usage.input_tokens": 22, "gen_ai.usage.output_tokens": 15, "gen_ai.usage.raw": raw}
    assert usage(**told, **more) == expected


@pytest.mark.parametrize(("told", "expected"), [
    ({"input_tokens": 100, "output_tokens": 12, "total_tokens": 120}, (100, 20, None, None, None)),  # Gemini's thoughts
    ({"input_tokens": 36, "output_tokens": 20, "total_tokens": 66, "cache_read.input_tokens": 10}, (46, 20, 10, None, None)),
    ({"input_tokens": 36, "output_tokens": 20, "total_tokens": 120, "cache_read.input_tokens": 64}, (100, 20, 64, None, None)),
    ({"input_tokens": 100, "output_tokens": 20, "total_tokens": 90}, (100, 20, None, None, None)),
    ({"input_tokens": 100, "total_tokens": 120}, (100, 20, None, None, None)),
])  # fmt: skip
def test_a_total_tells_what_input_and_output_leave_out(told, expected):
    assert usage(**{f"gen_ai.usage.{name}": count for name, count in told.items()}) == expected


LITELLM_S = "{'completion_tokens': 15, 'prompt_tokens': 22, 'completion_tokens_details': {'audio_tokens': None, 'reasoning_tokens': 8}, "
LITELLM_S += "'prompt_tokens_details': {'cached_tokens': 4}}"


@pytest.mark.parametrize(("raw", "parts"), [
    (LITELLM_S, (4, None, 8)), ("{'completion_tokens': 15", (None, None, None)), ("{'a': 'it''s'}", (None, None, None)),
    ("{'" * 20_000, (None, None, None)),
])  # fmt: skip
def test_litellm_writes_the_provider_s_own_usage_as_python_does(raw, parts):
    told = {"gen_ai.usage.input_tokens": 22, "gen_ai.usage.output_tokens": 15, "metadata.usage_object": raw}
    assert usage(**told) == (22, 15, *parts)


ADK_S = {"prompt_token_count": 110, "candidates_token_count": 13, "thoughts_token_count": 8, "cached_content_token_count": 64}


@pytest.mark.parametrize(("body", "expected"), [
    (ADK_S | {"total_token_count": 131}, (110, 21, 64, None, 8)), (ADK_S, (110, 21, 64, None, 8)),
    (ADK_S | {"candidates_token_count": 21, "total_token_count": 131}, (110, 21, 64, None, 8)),
    (ADK_S | {"tool_use_prompt_token_count": 5, "total_token_count": 136}, (115, 21, 64, None, 8)),
    ({}, (110, 131, None, None, None)), ({"prompt_token_count": -1}, (110, 131, None, None, None)),
])  # fmt: skip
def test_gemini_s_own_answer_tells_better_than_what_google_s_adk_made_of_it(body, expected):
    answer = json.dumps({"content": {"role": "model"}, "usage_metadata": body})
    told = {"gen_ai.usage.input_tokens": 110, "gen_ai.usage.output_tokens": 131, "gcp.vertex.agent.llm_response": answer}
    assert usage(**told) == expected


DETAILS = [
    ({"input": 120, "output": 30, "cache_read_input_tokens": 64}, (184, 30, 64, None, None)),
    ({"input": 156, "input_cached_tokens": 64, "output": 20, "output_reasoning": 10, "total": 250}, (220, 30, 64, None, 10)),
    ({"input": 12, "output": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 10,
      "cache_creation_ephemeral_5m_input_tokens": 8, "cache_creation_ephemeral_1h_input_tokens": 2}, (122, 5, 100, 10, None)),
    ({"input": 12, "output": 5, "cache_creation_ephemeral_5m_input_tokens": 8}, (20, 5, None, 8, None)),
    ({"prompt_tokens": 220, "completion_tokens": 25, "prompt_tokens_details": {"cached_tokens": 64},
      "completion_tokens_details": {"reasoning_tokens": 5}}, (220, 25, 64, None, 5)),
    ({"input_tokens": 10, "output_tokens": 89, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
      "output_tokens_details": {"reasoning_tokens": 64}}, (10, 89, 4, 1, 64)),
    ({"input_tokens": 90, "output_tokens": 70, "cache_read_input_tokens": 4096, "cache_creation_input_tokens": 512},
     (4698, 70, 4096, 512, None)),
    ({"promptTokens": 10, "completionTokens": 5, "totalTokens": 15}, (10, 5, None, None, None)),
    ({"total": 15}, (15, 0, None, None, None)),
    ({"input": 10, "output": 5, "totalCost": 3, "inputCost": 1}, (10, 5, None, None, None)),
    ({"seconds": 3}, None),
    ([1], None),
]  # fmt: skip


@pytest.mark.parametrize(("details", "expected"), DETAILS)
def test_langfuse_s_details_are_a_provider_s_body_or_parts_beside_each_other(details, expected):
    assert usage(**{"langfuse.observation.usage_details": json.dumps(details)}) == expected


def test_parts_that_exceed_the_whole_were_counted_beside_it():
    told = {"gen_ai.usage.input_tokens": 90, "gen_ai.usage.cache_read.input_tokens": 4096, "gen_ai.usage.output_tokens": 5}
    assert usage(**told) == (4186, 5, 4096, None, None)
    assert usage(**told, **{"gen_ai.usage.reasoning_tokens": 30})[1] == 35


@pytest.mark.parametrize(("cost", "tokens", "text"), [
    (1.23e-05, 10, "0.000012300"), (0, 10, None), (0, 0, "0.000000000"), (None, 10, None), (2.5, 0, "2.500000000"),
])  # fmt: skip
def test_a_reported_cost_of_nothing_for_tokens_is_unknown(cost, tokens, text):
    assert cost_text(cost, tokens) == text


@pytest.mark.parametrize(("told", "expected"), [
    ({"gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024"}, ("gpt-4o-2024", "gpt-4o")),
    ({"gen_ai.request.model": "m", "gen_ai.response.model": "m"}, ("m", None)),
    ({"gen_ai.request.model": "m"}, ("m", None)),
    ({"llm.model_name": "a", "llm.request.model_name": "b"}, ("a", "b")),
    ({}, ("unknown", None)),
])  # fmt: skip
def test_the_answered_model_counts_before_the_asked_one(told, expected):
    assert model_of(told, fields_of(tuple(told))) == expected


@pytest.mark.parametrize(("told", "expected"), [
    ({"gen_ai.provider.name": "openai", "gen_ai.system": "x"}, "openai"),
    ({"gen_ai.system": "OpenAI"}, "openai"),
    ({"gen_ai.system": "openai.chat", "ai.operationId": "ai.embed"}, "openai"),
    ({"gen_ai.system": "aws.bedrock"}, "aws.bedrock"),
    ({}, None),
])  # fmt: skip
def test_providers_are_told_in_one_way(told, expected):
    assert provider_of(told, fields_of(tuple(told))) == expected


@pytest.mark.parametrize(("body", "expected"), [
    ('{"id": "chatcmpl-1"}', "chatcmpl-1"), ('{"id": 7}', None), ("{broken", None), ("text", None), ("[]", None),
    ('{"generations": [], "llm_output": {"id": "msg_1"}}', "msg_1"),
    ('{"generations": [[{"message": {"kwargs": {"response_metadata": {"id": "resp_1"}}}}]], "llm_output": null}', "resp_1"),
    ('{"generations": [[{}, {}]], "llm_output": null}', None), ('{"generations": [[{"message": "x"}]]}', None),
    ('{"llm_output": "{"}', None), ('{"llm_output": null}', None),
])  # fmt: skip
def test_openinference_has_the_response_id_inside_of_the_answer(body, expected):
    told = {"openinference.span.kind": "LLM", "output.value": body}
    assert response_of(told, fields_of(tuple(told))) == expected



@pytest.mark.parametrize("cost", ["operation.cost", "gen_ai.usage.cost", "gen_ai.cost.total_cost", "llm.cost.total"])
def test_a_call_keeps_what_is_known_of_it(door, trace, cost):
    told = llm(**{
        "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.usage.cache_read.input_tokens": 20, cost: 0.5,
        "gen_ai.response.id": "chatcmpl-1", "gen_ai.provider.name": "openai", "user.id": "ada",
    })  # fmt: skip
    door.export(span("call", trace, parent="root", attributes=told), span("root", trace))
    usage = door.execution(trace)["token_usage"]
    assert (usage["prompt_tokens"], usage["cached_tokens"], usage["cost_usd"]) == (100, 20, "0.500000000")
    line = door.api.get("/api/tokens/breakdown?by=user&range=24h").json["data"]
    assert [(one["key"], one["calls"]) for one in line] == [("ada", 1)]


def test_a_sum_above_its_calls_counts_only_until_they_come(door, trace):
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30}
    door.export(span("agent", trace, attributes=agent))
    assert door.tokens(trace) == (1, 300, 30)
    door.export(span("between", trace, parent="agent"), span("call", trace, parent="between", attributes=llm((100, 10))))
    assert door.tokens(trace) == (1, 100, 10)


def test_the_ai_sdk_s_outer_span_is_a_sum(door, trace):
    sums = {"ai.operationId": "ai.generateText", "ai.usage.inputTokens": 220, "ai.usage.outputTokens": 21}
    inner = {"ai.operationId": "ai.generateText.doGenerate", "gen_ai.usage.input_tokens": 220, "gen_ai.usage.output_tokens": 21}
    door.export(span("inner", trace, parent="outer", attributes=inner), span("outer", trace, attributes=sums))
    assert door.tokens(trace) == (1, 220, 21)


def test_one_response_in_two_traces_is_one_call(door):
    one, two = trace_id(), trace_id()
    told = llm(**{"gen_ai.response.id": "msg-1"})
    door.export(span("a", one, attributes=told))
    door.export(span("b", two, attributes=told))
    assert [usage for usage in (door.tokens(one), door.tokens(two)) if usage[0]] == [(1, 100, 10)]


SILENT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude"}


def test_a_call_without_usage_is_a_call_of_no_tokens(door, trace):
    door.export(span("call", trace, attributes=SILENT))
    assert door.tokens(trace) == (1, 0, 0)


def test_a_call_without_usage_around_another_one_is_the_same_call(door, trace):
    door.export(span("inner", trace, parent="outer", attributes=SILENT), span("outer", trace, attributes=SILENT))
    assert door.tokens(trace) == (1, 0, 0)
    other = trace_id()
    door.export(span("inner", other, parent="outer", attributes=SILENT), span("outer", other, attributes=llm()))
    assert door.tokens(other) == (1, 100, 10)


def twins(inner_scope, *, start=5, took=10):
    """Return a request of two silent calls in traces of their own; the second is told by another instrumentation."""
    one, two = trace_id(), trace_id()
    outer = request_of([span("outer", one, took=20, attributes=SILENT)])
    inner = request_of([span("inner", two, start=start, took=took, attributes=SILENT)], scope=inner_scope)
    return {"resourceSpans": outer["resourceSpans"] + inner["resourceSpans"]}, (one, two)


@pytest.mark.parametrize(("scope", "start", "calls"), [("sdk", 5, 1), ("test", 5, 2), ("sdk", 15, 2)])
def test_a_silent_call_inside_of_another_scope_s_call_is_the_same_call(door, scope, start, calls):
    request, traces = twins(scope, start=start)
    assert door.api.post("/v1/traces", json=request).json == {}
    assert sum(door.tokens(trace)[0] for trace in traces) == calls


def test_silent_calls_at_the_same_time_find_each_its_own_twin(door):
    outer = [span("outer", trace_id(), start=n, took=took, attributes=SILENT) for n, took in ((0, 20), (1, 90))]
    inner = [span("inner", trace_id(), start=n, took=took, attributes=SILENT) for n, took in ((5, 10), (6, 80))]
    told = {"resourceSpans": request_of(outer)["resourceSpans"] + request_of(inner, scope="sdk")["resourceSpans"]}
    assert door.api.post("/v1/traces", json=told).json == {}
    assert sum(door.tokens(one["traceId"])[0] for one in (*outer, *inner)) == 2


@pytest.mark.parametrize(("outer", "inner", "calls"), [
    ({}, {"gen_ai.response.id": "resp-1"}, 1), ({"gen_ai.response.id": "resp-1"}, {}, 1), ({}, {}, 1),
    ({"gen_ai.response.id": "resp-1"}, {"gen_ai.response.id": "resp-2"}, 2),
    ({"gen_ai.response.id": "resp-1"}, {"gen_ai.response.id": "resp-1"}, 1), ({}, {"gen_ai.usage.output_tokens": 11}, 2),
    ({}, {"gen_ai.request.model": "gpt-5"}, 2), ({}, {"gen_ai.request.model": "gpt-4o-2024-08-06"}, 1),
    ({"gen_ai.request.model": ""}, {}, 1),
])  # fmt: skip
def test_the_same_tokens_inside_of_another_scope_s_call_are_the_same_call(door, trace, outer, inner, calls):
    """LangChain's instrumentations know no id of a Responses call, OpenAI's beside them does."""
    around = request_of([span("outer", trace, took=20, attributes=llm(**outer))])
    within = request_of([span("inner", trace, start=5, attributes=llm(**inner))], scope="sdk")
    door.api.post("/v1/traces", json={"resourceSpans": around["resourceSpans"] + within["resourceSpans"]})
    assert door.tokens(trace)[0] == calls


def test_a_call_that_three_instrumentations_tell_of_is_the_outermost_s_with_what_the_others_know(door):
    traces = [trace_id() for _ in range(3)]
    answered = {"gen_ai.response.id": "resp-3", "gen_ai.response.model": "gpt-4o-2024-08-06"}
    told = [{}, {"gen_ai.request.model": "gpt-4o-2024-08-06"}, {"gen_ai.usage.cache_read.input_tokens": 64, **answered}]
    parts = [
        request_of([span("call", trace, start=n, took=20 - 2 * n, attributes=llm(**told[n]))], scope=f"scope-{n}")
        for n, trace in enumerate(traces)
    ]
    door.api.post("/v1/traces", json={"resourceSpans": [one for part in parts for one in part["resourceSpans"]]})
    assert [door.tokens(trace)[0] for trace in traces] == [1, 0, 0]
    assert door.execution(traces[0])["token_usage"]["cached_tokens"] == 64
    door.export(span("again", trace_id(), attributes=llm(**answered)))
    models = door.api.get("/api/tokens/breakdown?by=model&range=24h").json["data"]
    assert [(line["key"], line["calls"]) for line in models] == [("gpt-4o-2024-08-06", 1)]


@pytest.mark.parametrize(("outer", "inner", "model"), [
    ({"gen_ai.request.model": ""}, {}, "gpt-4o"), ({}, {"gen_ai.request.model": ""}, "gpt-4o"),
    ({}, {"gen_ai.request.model": "gpt-4o-2024-08-06"}, "gpt-4o-2024-08-06"),
    ({"gen_ai.response.model": "gpt-4o-2024-08-06"}, {}, "gpt-4o-2024-08-06"),
])  # fmt: skip
def test_of_two_names_of_a_call_s_model_the_answered_one_counts(door, trace, outer, inner, model):
    around = request_of([span("outer", trace, took=20, attributes=llm(**outer))])
    within = request_of([span("inner", trace, start=5, attributes=llm(**inner))], scope="sdk")
    door.api.post("/v1/traces", json={"resourceSpans": around["resourceSpans"] + within["resourceSpans"]})
    models = door.api.get("/api/tokens/breakdown?by=model&range=24h").json["data"]
    assert [line["key"] for line in models] == [model]


def test_a_sum_of_no_tokens_is_no_call(door, trace):
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    door.export(span("call", trace, parent="agent", attributes=SILENT), span("agent", trace, attributes=agent))
    assert door.tokens(trace) == (1, 0, 0)


def test_counting_tokens_is_no_model_call(door, trace):
    told = {"gen_ai.request.model": "claude-haiku-4-5", "http.route": "/v1/messages/count_tokens"}
    door.export(span("anthropic.messages.count_tokens", trace, attributes=told))
    assert door.tokens(trace) == (0, 0, 0)
    assert door.steps(trace)["anthropic.messages.count_tokens"]["kind"] == "other"


def test_a_call_belongs_to_the_agent_above_it(door, trace):
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "billing"}
    door.export(
        span("call", trace, parent="task", attributes=llm()), span("task", trace, parent="agent"),
        span("agent", trace, parent="root", attributes=agent), span("root", trace),
    )  # fmt: skip
    lines = door.api.get("/api/tokens/breakdown?by=agent&range=24h").json["data"]
    assert [line["key"] for line in lines] == ["billing"]


def test_an_unfinished_call_has_no_usage_yet(door, trace):
    door.export(span("call", trace, took=None, attributes=llm()))
    assert door.tokens(trace)[0] == 0
    door.export(span("call", trace, attributes=llm()))
    assert door.tokens(trace) == (1, 100, 10)
