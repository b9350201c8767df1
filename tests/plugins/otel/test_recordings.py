"""Every recorded case of the clients gives what an independent reader finds in it."""

from __future__ import annotations

import base64
from collections import Counter

import pytest
from tests.plugins.otel import recordings

# What of a case cannot be as the facts have it, and why.
EXCLUSIVE_INPUT = "usage_details tells the parts of the input beside each other: 64 cached beside 120 are 184"
JSON_BATCHES = "the reader counts the items of JSON batches and reads no tokens out of them"
MANUAL = {"traces": 1, "spans": 4, "error_spans": 1, "calls": 1, "input": 120, "output": 30}
DIFFERENT = {
    "langfuse-python-5/trace_manual": ({"input": 184}, EXCLUSIVE_INPUT),
    "langfuse-python-2/backend_503": (MANUAL, JSON_BATCHES),
    "langfuse-python-2/trace_manual": (MANUAL, JSON_BATCHES),
    "langfuse-python-2/trace_exception": ({"traces": 1, "spans": 1, "error_spans": 1}, JSON_BATCHES),
    "openai-agents/agent_with_tool_and_handoff": (
        {"traces": 1, "spans": 7, "calls": 2, "input": 49, "output": 37}, JSON_BATCHES,
    ),
}  # fmt: skip
PATHS = {"/other/v1/traces": "/v1/traces"}  # where the recording's server redirected to


def expected(name):
    facts = recordings.facts()[name]
    calls = facts.get("llm_calls", {})
    found = {
        "traces": facts.get("traces", 0), "spans": facts.get("spans", 0), "error_spans": facts.get("error_spans", 0),
        "calls": calls.get("distinct", 0), "input": calls.get("input", 0), "output": calls.get("output", 0),
    }  # fmt: skip
    return found | DIFFERENT.get(name, ({}, ""))[0]


def replay(door, name, authorization):
    for request in recordings.delivered(name):
        path = PATHS.get(request["path"], request["path"])
        told = {"method": request["method"], "query_string": request["query"], "data": request["data"]}
        answer = door.api.client.open(path, headers=recordings.headers_of(request, authorization), **told)
        assert answer.status_code == request["reply"]["status"], answer.text
        assert b"rejected" not in answer.data


def found(door):
    runs = [door.execution(execution["id"]) for execution in door.executions()]
    steps = [step for run in runs for step in run["steps"]]
    usage = Counter()
    for run in runs:
        usage.update({name: run["token_usage"][name] for name in ("calls", "prompt_tokens", "completion_tokens")})
    return {
        "traces": len(runs), "spans": len(steps), "error_spans": sum(step["status"] == "failed" for step in steps),
        "calls": usage["calls"], "input": usage["prompt_tokens"], "output": usage["completion_tokens"],
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(recordings.folders()))
def test_a_recording_gives_its_facts(door, name):
    for _ in range(2):  # what comes twice changes nothing
        replay(door, name, f"Bearer {door.api.token}")
        assert found(door) == expected(name)
    facts = recordings.facts()[name]
    kinds = {error["error_type"] for error in door.errors()}
    assert kinds >= set(facts.get("exception_events", []))
    assert len(door.errors()) <= found(door)["error_spans"] or not facts.get("traces")
    runs = [door.execution(execution["id"]) for execution in door.executions()]
    assert {run["user"] for run in runs} - {None} >= set(facts.get("users", []))
    assert {run["session"] for run in runs} - {None} >= set(facts.get("sessions_named", []))


@pytest.mark.parametrize("name", sorted(name for name in recordings.folders() if name.startswith("langfuse-")))
def test_langfuse_s_clients_need_the_token_as_their_secret_key_only(door, name):
    basic = base64.b64encode(f"pk-lf-1:{door.api.token}".encode()).decode()
    replay(door, name, f"Basic {basic}")
    assert found(door) == expected(name)


def test_a_clone_without_the_shared_recordings_has_some():
    names = {f"{file.parent.parent.name}/{file.parent.name}" for file in recordings.HERE.glob("*/*/case.json")}
    assert len(names) >= 6
    assert names <= recordings.facts().keys()


def test_every_difference_is_explained():
    assert all(reason for _, reason in DIFFERENT.values())
    assert DIFFERENT.keys() <= recordings.facts().keys()
