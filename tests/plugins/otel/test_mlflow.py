"""MLflow's spans: kinds, content and tokens out of attributes that are JSON texts."""

from __future__ import annotations

import json

import pytest
from tests.plugins.otel.conftest import exception, failed, span


@pytest.fixture
def door(shared_door):
    return shared_door


def told(kind, **more):
    """Return the attributes of a span of MLflow's."""
    return {"mlflow.spanType": json.dumps(kind), **{f"mlflow.{name}": json.dumps(value) for name, value in more.items()}}


@pytest.mark.parametrize(("kind", "expected"), [
    ("AGENT", "agent"), ("CHAT_MODEL", "llm"), ("LLM", "llm"), ("EMBEDDING", "llm"), ("TOOL", "tool"), ("RETRIEVER", "retrieval"),
    ("RERANKER", "retrieval"), ("CHAIN", "task"), ("PARSER", "task"), ("UNKNOWN", "task"), (7, "task"), ([], "task"),
])  # fmt: skip
def test_each_type_of_span_has_its_kind(door, trace, kind, expected):
    door.export(span("root", trace, attributes=told(kind)))
    assert door.steps(trace)["root"]["kind"] == expected


def test_an_agent_s_run_has_its_name_and_content(door, trace):
    door.export(
        span("ship", trace, parent="desk", attributes=told("TOOL", spanInputs={"id": "A-1"}), **failed("", exception("ValueError", "no"))),
        span("desk", trace, attributes=told("AGENT", spanInputs={"plan": "a"}, spanOutputs="on its way")),
    )  # fmt: skip
    run = door.execution(trace)
    assert (run["workflow"], run["agent"], run["input"], run["output"]) == ("desk", "desk", {"plan": "a"}, "on its way")
    assert door.steps(trace)["ship"]["input"] == {"id": "A-1"}
    assert [error["error_type"] for error in run["errors"]] == ["ValueError"]


OPENAI = {"id": "chatcmpl-1", "usage": {"prompt_tokens": 100, "completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 8}}}
CALLS = [
    ({"chat.tokenUsage": {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 64}, "spanOutputs": OPENAI}, (100, 20, 64, 0, 8)),
    ({"chat.tokenUsage": {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 30}},
     (100, 20, 64, 30, 0)),
    ({"spanOutputs": {**OPENAI, "id": "chatcmpl-2"}}, (100, 20, 0, 0, 8)), ({"spanOutputs": "text"}, (0, 0, 0, 0, 0)), ({"chat.tokenUsage": []}, (0, 0, 0, 0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("more", "expected"), CALLS)
def test_a_call_has_its_tokens(door, trace, more, expected):
    door.export(span("call", trace, attributes=told("CHAT_MODEL", **{"llm.model": "gpt-4o"}, **more)))
    usage = door.execution(trace)["token_usage"]
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    assert (usage["calls"], *(usage[name] for name in names)) == (1, *expected)


def test_mlflow_s_own_cost_counts(door, trace):
    usage = {"input_tokens": 100, "output_tokens": 20}
    door.export(span("call", trace, attributes=told("LLM", **{"chat.tokenUsage": usage, "llm.cost": {"total_cost": 0.5}})))
    assert door.execution(trace)["token_usage"]["cost_usd"] == "0.500000000"


def test_what_is_no_json_is_left_as_it_is(door, trace):
    broken = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": '"broken', "mlflow.spanOutputs": "{broken", "model": 7}
    door.export(span("call", trace, attributes=broken))
    step = door.steps(trace)["call"]
    assert (step["kind"], step["input"], step["output"]) == ("llm", '"broken', "{broken")


def test_pieces_of_a_stream_are_not_kept(door, trace):
    piece = {"name": "mlflow.chunk.item.0", "timeUnixNano": "1000000", "attributes": []}
    door.export(span("call", trace, attributes=told("CHAT_MODEL"), events=[piece]))
    assert "otel.events" not in door.steps(trace)["call"]["attributes"]
