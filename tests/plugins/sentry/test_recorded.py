"""Every recorded case gives what an independent reader found in it: errors, executions, steps, calls, tokens, check-ins."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from tests.conftest import token_of
from tests.plugins.sentry.conftest import CORPUS, OWN, everything, replay, requests_of

from pilothouse.db import db
from pilothouse.runtime import runtime
from pilothouse.testing import Api

DIALECTS = ("sentry-python", "sentry-python-1.45", "sentry-node")


def cases() -> list[Any]:
    """Return the folders of all cases; where the shared recordings are absent, our own few and a visible mark."""
    if not CORPUS.is_dir():
        marks = pytest.mark.skip(reason=f"the shared recordings are not at {CORPUS}; five of them are tried from {OWN}")
        return [*_folders(OWN), pytest.param(CORPUS, id="the other recordings", marks=marks)]
    return _folders(CORPUS)


def _folders(root: Path) -> list[Any]:
    found = [path for dialect in DIALECTS for path in sorted((root / dialect).glob("*/"))]
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in found]


class Case:
    """A case that was sent: its facts and what the application made of it."""

    def __init__(self, folder: Path, api: Api, token: str) -> None:
        name = f"{folder.parent.name}/{folder.name}"
        self.facts: dict[str, Any] = json.loads((folder.parents[1] / "facts.json").read_text())[name]
        self.answers = replay(api.client, folder, token)
        self.items = list(_items(folder, token))
        self.api = api
        errors = everything(api, "/api/errors?since=0")
        self.errors = {error["id"]: api.get(f"/api/errors/{error['id']}").json for error in errors}
        self.executions = {execution["id"]: execution for execution in everything(api, "/api/executions?since=0")}

    def payloads(self, *kinds: str) -> list[Any]:
        return [payload for kind, payload in self.items if kind in kinds]


def _items(folder: Path, token: str) -> Iterator[tuple[str, Any]]:
    """Read the items of a case in the plainest way, as a second opinion."""
    for request in requests_of(folder, token):
        body = request.plain()
        if not request.delivered:
            continue
        if request.path.endswith("/store/"):
            yield "event", json.loads(body)
            continue
        rest = body.partition(b"\n")[2]
        while rest.strip():
            line, _, rest = rest.partition(b"\n")
            header = json.loads(line)
            length = header.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
            payload, rest = rest[:length], rest[length + 1 :]
            with suppress(ValueError):
                yield header["type"], json.loads(payload)


def spans_of(case: Case) -> list[dict[str, Any]]:
    found = [span for item in case.payloads("span") for span in item["items"]]
    for transaction in case.payloads("transaction"):
        found += [transaction["contexts"]["trace"], *transaction["spans"]]
    return found


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest, api: Api, make_token: Callable[..., str]) -> Case:
    return Case(request.param, api, make_token("ingest"))


def test_a_case_gives_its_facts(case: Case) -> None:
    assert [answer.status_code for answer in case.answers] == [200] * case.facts["delivered"]
    assert runtime().registry.guard.failures == {}
    check_errors(case)
    check_traces(case)
    check_calls(case)
    check_check_ins(case)
    check_telemetry(case)
    check_nothing_was_refused(case)


def check_errors(case: Case) -> None:
    """Errors are the events, each with its type, message, chain, frames, person, release and trace."""
    told = case.facts.get("events", [])
    assert len(case.errors) == len(told)
    for event, facts in zip(case.payloads("event"), told, strict=True):
        error = case.errors[event["event_id"]]
        assert error["error_type"] == (facts["type"] or "Message")
        if facts["value"] is not None:
            assert error["message"] == facts["value"]
        assert (error["release"], error["user"]) == (facts["release"], facts["user"])
        assert error["execution_id"] == facts["trace_id"]
        assert error["handled"] == facts["handled"]
        assert error["attributes"].get("tags", {}) == facts["tags"]
        assert max(len(error["attributes"].get("exceptions", [])), min(facts["chain"], 1)) == facts["chain"]
        values = (event.get("exception") or {}).get("values", [])
        own = len(values[-1].get("stacktrace", {}).get("frames", [])) if values else 0
        assert len(error["frames"] or []) == own
        if own and facts["frames"]:
            assert error["frames"][-1]["function"] == values[-1]["stacktrace"]["frames"][-1]["function"]


def check_traces(case: Case) -> None:
    """Every trace is an execution, and every span a step of it, in the same tree."""
    spans = spans_of(case)
    for trace_id in {span["trace_id"] for span in spans}:
        steps = {step["id"]: step for step in case.api.get(f"/api/executions/{trace_id}").json["steps"]}
        mine = {span["span_id"]: span for span in spans if span["trace_id"] == trace_id}
        assert steps.keys() == mine.keys()
        assert {key: steps[key]["parent_id"] for key in mine} == {k: s.get("parent_span_id") for k, s in mine.items()}
    for transaction in case.payloads("transaction"):
        execution = case.executions[transaction["contexts"]["trace"]["trace_id"]]
        assert execution["workflow"] == transaction["transaction"]
        went_well = transaction["contexts"]["trace"].get("status") in {"ok", None}
        assert (execution["status"] == "succeeded") == went_well


def check_calls(case: Case) -> None:
    """Each distinct model call counts once, with its tokens."""
    rows = db.session.execute(text("SELECT * FROM token_usage WHERE counted")).mappings().all()
    found = Counter((row["model"], row["prompt_tokens"], row["completion_tokens"]) for row in rows)
    calls = case.facts.get("calls", [])
    assert found == Counter((call["model"], call.get("input", 0), call.get("output", 0)) for call in calls)
    for name, ours in (("cache_read", "cached_tokens"), ("reasoning", "reasoning_tokens")):
        assert sum(row[ours] for row in rows) == sum(call.get(name, 0) for call in calls)
    assert sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows) == sum(
        case.facts.get("llm_calls", {}).get(name, 0) for name in ("input", "output")
    )


def check_check_ins(case: Case) -> None:
    """Each check-in is an execution of its monitor, which ends as it says."""
    ends = {"ok": "succeeded", "error": "failed"}
    expected = Counter((slug, ends[said]) for slug, said in case.facts.get("check_ins", []) if said in ends)
    monitors = {slug for slug, _ in case.facts.get("check_ins", [])}
    runs = [execution for execution in case.executions.values() if execution["workflow"] in monitors]
    assert Counter((run["workflow"], run["status"]) for run in runs) == expected


def check_telemetry(case: Case) -> None:
    """Sessions and logs are events."""
    names = Counter(db.session.scalars(text("SELECT name FROM events")))
    sessions = case.facts.get("release_sessions", [])
    assert names["session"] == len([one for one in sessions if "sid" in one])
    assert names["sessions"] == sum(len(one["aggregates"]) for one in sessions if "aggregates" in one)
    levels = Counter(record["level"] for item in case.payloads("log") for record in item["items"])
    assert {level: names[level] for level in levels} == levels


def check_nothing_was_refused(case: Case) -> None:
    """Expect every item to be used, and nothing in what is stored that a person should not see."""
    stored = json.dumps(list(case.errors.values()))
    assert "4111111111111111" not in stored
    assert not [name for name in db.session.scalars(text("SELECT name FROM events")) if name == "sentry.skipped"]


@pytest.mark.parametrize("folder", _folders(OWN))
def test_our_own_cases_give_their_facts_on_either_database(either_app: Flask, either_api: Api, folder: Path) -> None:
    case = Case(folder, either_api, token_of(either_app, "ingest"))
    assert [answer.status_code for answer in case.answers] == [200] * case.facts["delivered"]
    check_errors(case)
    check_traces(case)
    check_calls(case)
    check_check_ins(case)
    check_nothing_was_refused(case)
    before = _figures()
    replay(either_api.client, folder, token_of(either_app, "ingest"))
    db.session.rollback()
    assert _figures() == before


def test_the_same_fault_many_times_is_one_group(api: Api, make_token: Callable[..., str], app: Flask) -> None:
    folder = CORPUS / "sentry-python" / "same_error_many"
    if not folder.is_dir():
        pytest.skip(f"the shared recordings are not at {CORPUS}")
    replay(api.client, folder, make_token("ingest"))
    groups = api.get("/api/errors/groups").json["data"]
    assert [(group["error_type"], group["count"]) for group in groups] == [("StockError", 12)]


def test_a_case_that_is_sent_twice_changes_nothing(api: Api, make_token: Callable[..., str], app: Flask) -> None:
    folder, token = OWN / "sentry-python" / "ai_openai", make_token("ingest")
    replay(api.client, folder, token)
    first = _figures()
    replay(api.client, folder, token)
    assert _figures() == first


def _figures() -> list[Any]:
    statement = "SELECT (SELECT count(*) FROM executions), (SELECT count(*) FROM steps), sum(prompt_tokens) FROM token_usage"
    return list(db.session.execute(text(statement)).one())
