"""Check-ins, sessions, logs, metrics, feedback and reports of the SDKs; what nothing is made of is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text
from tests.plugins.sentry.conftest import Sentry

from pilothouse.db import db
from pilothouse.testing import Api
from pilothouse_sentry import checkins, telemetry
from pilothouse_sentry.envelope import Scope

NOW = 1_795_500_000_000
SCOPE = Scope(now=NOW, sent_at=1_795_425_400_000, release="shop@1")
RUN = {"monitor_slug": "nightly-bill", "check_in_id": "5902e93aa0a34fddbffec503ab01543d", "timestamp": 1795425400}


def properties(event: Any) -> dict[str, Any]:
    return dict(json.loads(bytes(event.properties)))


def counted(name: str) -> list[dict[str, Any]]:
    rows = db.session.scalars(text("SELECT properties FROM events WHERE name = :name ORDER BY id"), {"name": name})
    return [json.loads(row) for row in rows]


@pytest.mark.parametrize(
    ("said", "status", "started_at", "finished_at"),
    [
        ("in_progress", "running", 1_795_425_400_000, None), ("ok", "succeeded", 1_795_425_398_500, 1_795_425_400_000),
        ("error", "failed", 1_795_425_398_500, 1_795_425_400_000), ("timeout", "timed_out", 1_795_425_398_500, 1_795_425_400_000),
        ("missed", "failed", None, 1_795_425_400_000),
    ],
)  # fmt: skip
def test_a_check_in_is_a_run_of_its_monitor(said: str, status: str, started_at: int | None, finished_at: int | None) -> None:
    run = checkins.translate({**RUN, "status": said, "duration": 1.5}, SCOPE)
    assert run is not None
    assert (run.id, run.workflow, run.trigger, run.status) == (RUN["check_in_id"], "nightly-bill", "schedule", status)
    assert (run.started_at, run.finished_at) == (started_at, finished_at)


@pytest.mark.parametrize("checkin", [{}, {"status": "ok"}, {**RUN, "status": "resting"}, {**RUN, "status": 5}])
def test_a_check_in_of_no_monitor_or_state_is_none(checkin: dict[str, Any]) -> None:
    assert checkins.translate(checkin, SCOPE) is None


def test_check_ins_without_an_id_are_runs_of_their_own() -> None:
    heartbeat = {**RUN, "check_in_id": "0" * 32, "status": "ok", "timestamp": None}
    first, second = checkins.translate(heartbeat, SCOPE), checkins.translate(heartbeat, SCOPE)
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert (first.finished_at, first.started_at) == (SCOPE.sent_at, None)


def test_a_run_opens_and_closes(sentry: Sentry, api: Api) -> None:
    sentry.send(("check_in", {**RUN, "status": "in_progress"}))
    assert api.get(f"/api/executions/{RUN['check_in_id']}").json["status"] == "running"
    sentry.send(("check_in", {**RUN, "status": "ok", "timestamp": 1795425402, "duration": 2}))
    run = api.get(f"/api/executions/{RUN['check_in_id']}").json
    assert (run["status"], run["duration_ms"]) == ("succeeded", 2_000)


def test_a_missed_check_in_is_a_run_that_was_not(sentry: Sentry, api: Api) -> None:
    sentry.send(("check_in", {**RUN, "status": "missed"}))
    run = api.get(f"/api/executions/{RUN['check_in_id']}").json
    assert (run["status"], run["started_at"], run["error_count"]) == ("failed", None, 1)
    assert api.get("/api/errors").json["data"][0]["error_type"] == "MissedCheckIn"


def test_a_session_is_an_event_for_each_state_that_it_reaches() -> None:
    session = {"sid": "9e45426a-7933-49f4-a1ff-d5be6b358a09", "status": "ok", "errors": 0, "did": "u-1", "duration": 0.5,
               "started": "2026-11-23T09:16:22Z", "attrs": {"release": "shop@2.4.1", "environment": "test"}}  # fmt: skip
    event = telemetry.session_of(session, SCOPE)
    assert event is not None
    assert (event.name, event.component, event.user, event.duration_ms, event.ok) == ("session", "shop", "u-1", 500.0, True)
    crashed = telemetry.session_of({**session, "status": "crashed"}, SCOPE)
    assert crashed is not None
    assert (crashed.ok, crashed.id != event.id, crashed.session) == (False, True, event.session)
    assert telemetry.session_of({"status": "ok"}, SCOPE) is None


def test_counted_sessions_are_an_event_a_minute() -> None:
    aggregates = [{"started": 1795425360, "exited": 4, "crashed": 1, "errored": "x"}, {"started": 1795425420, "exited": 2}]
    events = list(telemetry.sessions_of({"aggregates": aggregates, "attrs": {"release": "shop@1"}}, SCOPE))
    assert [(event.at, event.ok) for event in events] == [(1_795_425_360_000, False), (1_795_425_420_000, True)]
    assert properties(events[0]) == {"exited": 4, "crashed": 1, "release": "shop@1"}


def test_a_log_is_an_event_of_its_level() -> None:
    typed = {"tenant": {"value": "t-3", "type": "string"}, "sentry.release": {"value": "shop@2", "type": "string"}}
    record = {"timestamp": 1795425439.5, "level": "error", "body": "step failed", "trace_id": "b" * 32, "attributes": typed}
    first, again = (next(telemetry.logs_of({"items": [record]}, SCOPE)) for _ in range(2))
    assert (first.id, first.name, first.ok, first.component) == (again.id, "error", False, "shop")
    assert properties(first)["message"] == "step failed"
    assert (properties(first)["tenant"], properties(first)["execution_id"]) == ("t-3", "b" * 32)


@pytest.mark.parametrize(("unit", "duration"), [("millisecond", 2.5), ("second", 2_500.0), ("byte", None), (None, None)])
def test_a_metric_in_a_unit_of_time_is_a_duration(unit: str | None, duration: float | None) -> None:
    metric = {"timestamp": 1795425439.5, "name": "queue.wait", "type": "distribution", "value": 2.5, "unit": unit}
    (event,) = telemetry.metrics_of({"items": [metric, {"value": 1}]}, SCOPE)
    assert (event.name, event.duration_ms, properties(event)["value"]) == ("queue.wait", duration, 2.5)


def test_an_sdk_says_what_it_lost(sentry: Sentry) -> None:
    losses = [{"reason": "network_error", "category": "error", "quantity": 3}, 5]
    assert sentry.send(("client_report", {"timestamp": 1795425388.9, "discarded_events": losses})).json == {"id": ""}
    assert counted("sentry.discarded") == [{"reason": "network_error", "category": "error", "quantity": 3}]


def test_feedback_is_an_event(sentry: Sentry) -> None:
    said = {"message": "it froze", "contact_email": "ana@example.com"}
    sentry.send(("feedback", {"contexts": {"feedback": said}}), header={"event_id": "f" * 32})
    assert counted("feedback") == [said]


def test_what_is_not_used_is_counted_by_type(sentry: Sentry) -> None:
    answer = sentry.send(
        ("profile", b"\x00\x01"), ("profile", {"a": 1}), ("event", b"{broken"), ("attachment", b"abc"), ("log", []),
        header={"event_id": "f" * 32},
    )
    assert (answer.status_code, answer.json) == (200, {"id": "f" * 32})
    assert {(one["type"], one["count"]) for one in counted("sentry.skipped")} == {("profile", 2), ("event", 1), ("log", 1)}


def test_a_broken_item_takes_no_good_one_with_it(sentry: Sentry, api: Api) -> None:
    sentry.send(("event", b"{broken"), ("transaction", {"x": 1}), ("event", {"event_id": "a" * 32, "message": "good"}))
    assert [error["id"] for error in api.get("/api/errors").json["data"]] == ["a" * 32]
