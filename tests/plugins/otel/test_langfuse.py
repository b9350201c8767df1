"""What Langfuse's SDKs ask beside OTLP: batches, the key check, scores, prompts."""

from __future__ import annotations

import base64

import pytest

from pilothouse.clock import DAY, now, to_rfc3339
from pilothouse.db import db
from pilothouse_otel.models import Observation
from pilothouse_otel.service import KEPT, forget, remember
from pilothouse_otel.tasks import forget as forget_task

T0 = "2026-11-01T10:00:00.000Z"
T1 = "2026-11-01T10:00:01.500000Z"
T2 = "2026-11-01T10:00:02Z"


def event(kind, **body):
    return {"id": f"e-{kind}-{body.get('id')}", "type": kind, "timestamp": T2, "body": body}


def send(door, *events):
    answer = door.api.post("/api/public/ingestion", json={"batch": list(events), "metadata": {"sdk_name": "python"}})
    assert answer.status_code == 207
    return answer.json


def generation(**more):
    return event("generation-create", traceId="t1", id="g1", name="draft", startTime=T0, model="gpt-4o", **more)


USAGE = {"input": 120, "output": 30, "total": 150, "unit": "TOKENS"}
TRACE = event("trace-create", id="t1", timestamp=T0, name="intake", userId="ada", sessionId="s-9", release="1.2",
              environment="prod", input={"n": 1}, metadata={"run": "x"}, tags=["nightly"])  # fmt: skip


def test_every_event_has_its_verdict(door):
    answer = send(door, TRACE, generation(), event("what-create", id="x"), {"id": "e9", "type": "span-create"}, 7)
    assert [one["id"] for one in answer["successes"]] == ["e-trace-create-t1", "e-generation-create-g1"]
    assert [one["status"] for one in answer["successes"]] == [201, 201]
    assert [one["status"] for one in answer["errors"]] == [400, 400, 400]
    assert answer["errors"][0]["id"] == "e-what-create-x"
    assert "what-create" in answer["errors"][0]["message"]


def test_a_trace_is_an_execution(door):
    send(door, TRACE)
    run = door.execution("t1")
    expected = {
        "workflow": "intake", "status": "running", "user": "ada", "session": "s-9", "release": "1.2", "environment": "prod",
        "input": {"n": 1}, "started_at": T0, "attributes": {"run": "x", "tags": ["nightly"]},
    }  # fmt: skip
    assert {name: run[name] for name in expected} == expected


def test_a_trace_ends_with_its_output(door):
    send(door, TRACE)
    send(door, event("trace-create", id="t1", output="done"))
    run = door.execution("t1")
    assert (run["status"], run["workflow"], run["output"], run["duration_ms"]) == ("succeeded", "intake", "done", 2000)


def test_a_trace_whose_output_is_the_failure_of_its_chain_has_failed(door):
    """LangChain's handler writes the exception as the output, after the chain at the top has failed with it."""
    send(door, TRACE, event("span-create", traceId="t1", id="s1", name="chain", startTime=T0))
    send(door, event("span-update", traceId="t1", id="s1", endTime=T1, level="ERROR", statusMessage="slow down"),
         event("span-create", traceId="t1", id="s2", parentObservationId="s1", startTime=T0, endTime=T2))  # fmt: skip
    send(door, event("trace-create", id="t1", output="RateLimitError: slow down"))
    run = door.execution("t1")
    assert (run["status"], run["finished_at"][:19], run["output"]) == ("failed", T2[:19], "RateLimitError: slow down")
    send(door, event("span-create", traceId="t1", id="s3", name="again", startTime=T1, endTime=T2),
         event("trace-create", id="t1", output="done") | {"timestamp": "2026-11-01T10:00:03Z"})  # fmt: skip
    assert door.execution("t1")["status"] == "succeeded"


def test_a_trace_whose_program_went_on_after_a_failure_has_succeeded(door):
    send(door, TRACE, event("span-create", traceId="t1", id="s1", startTime=T0, endTime=T1, level="ERROR", statusMessage="none left"),
         event("trace-create", id="t1", output={"answer": "done"}))  # fmt: skip
    assert door.execution("t1")["status"] == "succeeded"
    assert [error["message"] for error in door.errors()] == ["none left"]


def test_a_trace_ends_with_the_last_observation_at_its_top(door):
    send(door, TRACE, event("span-create", traceId="t1", id="o1", startTime=T0))
    assert door.execution("t1")["status"] == "running"
    send(door, event("span-update", traceId="t1", id="o1", endTime=T1))
    assert (door.execution("t1")["status"], door.execution("t1")["duration_ms"]) == ("succeeded", 1500)


def test_a_failed_trace_is_one_error_with_its_failed_span(door):
    told = {"level": "ERROR", "statusMessage": "no lines", "startTime": T0, "endTime": T1}
    failed = event("span-create", traceId="t1", id="o1", name="price", **told)
    send(door, TRACE, failed, event("trace-create", id="t1", level="ERROR", status_message="no lines", end_time=T2))
    assert door.execution("t1")["status"] == "failed"
    assert [(error["error_type"], error["message"]) for error in door.errors()] == [("Error", "no lines")]


def test_an_update_in_a_later_batch_knows_name_model_and_kind(door):
    send(door, TRACE, generation(input=[{"role": "user"}]))
    assert door.steps("t1")["draft"]["status"] == "running"
    send(door, event("generation-update", traceId="t1", id="g1", endTime=T1, output="hello", usage=USAGE))
    step = door.steps("t1")["draft"]
    assert (step["status"], step["kind"], step["input"], step["output"]) == ("succeeded", "llm", [{"role": "user"}], "hello")
    assert door.tokens("t1") == (1, 120, 30)
    lines = door.api.get("/api/tokens/breakdown?by=model&range=90d").json["data"]
    assert [line["key"] for line in lines] == ["gpt-4o"]


def test_an_update_that_nobody_began_still_counts(door):
    send(door, event("generation-update", traceId="t1", id="g1", endTime=T1, usage=USAGE))
    assert door.steps("t1")["generation"]["status"] == "succeeded"
    assert door.tokens("t1") == (1, 120, 30)


def test_the_same_batch_twice_changes_nothing(door):
    batch = [TRACE, generation(endTime=T1, usage=USAGE), event("score-create", id="s1", traceId="t1", name="helpful", value=1)]
    send(door, *batch)
    before = door.execution("t1")
    assert send(door, *batch)["errors"] == []
    assert door.execution("t1") == before


@pytest.mark.parametrize(("usage", "tokens"), [
    (USAGE, (1, 120, 30)),
    ({"promptTokens": 10, "completionTokens": 5}, (1, 10, 5)),
    ({"input": 9, "unit": "CHARACTERS"}, (1, 0, 0)),
    ({"input": 9, "unit": ["TOKENS"]}, (1, 0, 0)),
    (None, (1, 0, 0)),
    ("many", (1, 0, 0)),
])  # fmt: skip
def test_usage_comes_in_langfuse_s_and_in_openai_s_names(door, usage, tokens):
    send(door, generation(endTime=T1, usage=usage))
    assert door.tokens("t1") == tokens


def test_cost_comes_as_a_total_or_in_parts(door):
    send(door, generation(endTime=T1, usage=USAGE | {"totalCost": 0.25}))
    told = {"usageDetails": {"input": 5}, "costDetails": {"input": 0.5, "output": 1}, "startTime": T0, "endTime": T1}
    send(door, event("generation-create", traceId="t2", id="g1", name="x", **told))
    assert [door.execution(key)["token_usage"]["cost_usd"] for key in ("t1", "t2")] == ["0.250000000", "1.500000000"]


def test_a_cost_beyond_any_bill_is_no_cost_and_costs_no_other_call_its_own(door):
    wrong = event("generation-create", traceId="t2", id="g2", name="x", startTime=T0, endTime=T1, usage=USAGE | {"totalCost": 1e13})
    send(door, generation(endTime=T1, usage=USAGE | {"totalCost": 0.25}), wrong)
    found = [door.execution(key)["token_usage"] for key in ("t1", "t2")]
    assert [(one["calls"], one["cost_usd"]) for one in found] == [(1, "0.250000000"), (1, None)]


@pytest.mark.parametrize("kind", ["agent", "tool", "retriever", "chain", "embedding", "evaluator", "guardrail"])
def test_newer_kinds_of_observations_are_known(door, kind):
    send(door, event(f"{kind}-create", traceId="t1", id="o1", name="x", startTime=T0, endTime=T1))
    assert door.steps("t1")["x"]["status"] == "succeeded"


def test_an_untyped_observation_tells_its_type_in_its_body(door):
    send(door, event("observation-create", traceId="t1", id="o1", name="x", type="GENERATION", startTime=T0, endTime=T1))
    assert door.steps("t1")["x"]["kind"] == "llm"


def test_an_event_is_a_step_and_an_event(door):
    send(door, event("event-create", traceId="t1", id="o1", name="cache-miss", startTime=T0, level="WARNING"))
    assert door.steps("t1")["cache-miss"]["duration_ms"] == 0
    assert db.session.scalar(db.text("SELECT count(*) FROM events WHERE name = 'cache-miss'")) == 1


def test_observations_make_a_tree(door):
    send(door, event("span-create", traceId="t1", id="o1", name="a"), generation(parentObservationId="o1"))
    assert door.steps("t1")["draft"]["parent_id"] == "o1"


BAD = [
    {"traceId": "a b", "id": "x"}, {"traceId": "t", "id": None}, {"id": "x"}, {"traceId": "t", "id": "y" * 129},
    {"traceId": "t", "id": "x", "parentObservationId": " "}, {"traceId": 7, "id": "x"},
    {"traceId": "t", "id": "x", "startTime": to_rfc3339(now() + 3 * DAY)},
]  # fmt: skip


@pytest.mark.parametrize("body", BAD)
def test_a_bad_event_is_refused_and_its_neighbour_taken(door, body):
    answer = send(door, TRACE, event("span-create", **body))
    assert (len(answer["successes"]), len(answer["errors"])) == (1, 1)
    assert door.execution("t1")["workflow"] == "intake"


def test_ids_of_the_greatest_length_are_taken(door):
    long = "x" * 128
    send(door, event("generation-create", traceId=long, id=long, name="x", startTime=T0, endTime=T1, usage=USAGE))
    assert door.tokens(long) == (1, 120, 30)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"batch": 7}', b"[" * 20_000, b"\xff"])
def test_what_is_no_batch_is_400(door, body):
    answer = door.post(body, path="/api/public/ingestion", content_type="application/json")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")


def test_too_many_events_are_413(door):
    assert door.api.post("/api/public/ingestion", json={"batch": [7] * 5_001}).status_code == 413


def test_the_key_check_answers_one_project(door):
    [project] = door.api.get("/api/public/projects").json["data"]
    assert project.keys() >= {"id", "name", "organization", "metadata"}


def test_the_key_check_refuses_unknown_keys(client):
    wrong = base64.b64encode(b"pk-lf-1:sk-lf-1").decode()
    assert client.get("/api/public/projects", headers={"Authorization": f"Basic {wrong}"}).status_code == 401


@pytest.mark.parametrize("path", ["/welcome", "/a/b?version=1", ""])
def test_there_are_no_prompts(door, path):
    answer = door.api.get(f"/api/public/v2/prompts{path}")
    assert answer.status_code == 404
    assert "fallback" in answer.json["detail"]


def test_a_score_is_an_event(door):
    body = {"id": "s1", "traceId": "t1", "name": "helpful", "value": 0.8, "comment": "yes", "observationId": "o1"}
    answer = door.api.post("/api/public/scores", json=body)
    assert (answer.status_code, answer.json) == (200, {"id": "s1"})
    [row] = db.session.execute(db.text("SELECT name, component, properties FROM events WHERE id = 's1'")).all()
    assert (row[0], row[1]) == ("score.helpful", "langfuse")
    assert '"value":0.8' in row[2]
    assert '"execution_id":"t1"' in row[2]


def test_a_score_without_an_id_gets_one(door):
    assert len(door.api.post("/api/public/scores", json={"name": "x", "value": 1}).json["id"]) > 8


def test_scores_may_come_as_a_list(door):
    scores = [{"id": f"s{n}", "traceId": "t1", "name": "helpful", "value": n} for n in range(3)]
    answer = door.api.post("/api/public/scores", json=scores)
    assert (answer.status_code, answer.json) == (202, {"message": "Accepted", "accepted": 3})
    answer = door.api.post("/api/public/scores", json=[*scores, {"value": 1}, 7])
    assert (answer.status_code, answer.json["accepted"], answer.json["rejected"]) == (207, 3, 2)
    assert [error["index"] for error in answer.json["errors"]] == [3, 4]
    assert db.session.scalar(db.text("SELECT count(*) FROM events WHERE name = 'score.helpful'")) == 3


def test_too_many_scores_are_413(door):
    assert door.api.post("/api/public/scores", json=[7] * 5_001).status_code == 413


@pytest.mark.parametrize("body", [{}, "text", {"name": ""}, {"name": "x", "id": "a b"}])
def test_a_score_without_a_name_or_with_a_bad_id_is_422(door, body):
    assert door.api.post("/api/public/scores", json=body).status_code == 422


def test_what_is_remembered_is_united_on_either_database(either_api):
    key = ("t1", "o1")
    assert remember({key: {"name": "a", "model": "m"}})[key] == {"name": "a", "model": "m"}
    assert remember({key: {"name": "b"}, ("t2", "o1"): {}}) == {key: {"name": "b", "model": "m"}, ("t2", "o1"): {}}
    assert remember({}) == {}


def test_what_nothing_was_said_of_for_long_is_forgotten(app, time_of_day):
    remember({("t1", "o1"): {"name": "a"}})
    time_of_day.pass_by(KEPT // 2)
    remember({("t1", "o2"): {"name": "b"}})
    time_of_day.pass_by(KEPT // 2 + 1)
    forget_task({})
    assert forget() is False
    assert [row.id for row in db.session.scalars(db.select(Observation))] == ["o2"]
