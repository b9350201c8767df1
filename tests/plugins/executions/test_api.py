"""The endpoints of executions: shapes, filters, refusals, edits, exports and conditional answers."""

from __future__ import annotations

import csv
import io

import pytest

from pilothouse.db import unit_of_work
from pilothouse.plugins.switches import switch
from pilothouse.testing import count_queries

NOON = "2023-11-16T12:00:00.000Z"
FIELDS = {"id", "workflow_id", "workflow", "status", "trigger", "agent", "user", "session", "environment", "release",
"parent_id",
          "started_at", "finished_at", "duration_ms", "attributes", "error_count", "total_tokens", "cost_usd",
          "created_at"}  # fmt: skip
RUN = {"workflow": "w", "status": "running"}


def made(api, **fields):
    response = api.post("/api/executions", json={**RUN, **fields})
    assert response.status_code == 201, response.text
    return response.json


def listed(api, query=""):
    return [one["id"] for one in api.get(f"/api/executions?limit=50{query}").json["data"]]


def wrong(response):
    assert response.status_code == 422, response.text
    return [one["path"] for one in response.json["errors"]]


# --- one ---


def test_a_run_is_shown_with_the_contract_s_fields(either_app, either_api, step, error, usage):
    whole = {"id": "a", "status": "succeeded", "started_at": NOON, "finished_at": "2023-11-16T12:00:01.500Z", "agent": "g",
             "attributes": {"k": [1]}, "input": {"q": 1}, "output": None}  # fmt: skip
    made(either_api, **whole)
    either_api.send(step(kind="llm", status="succeeded", started_at=NOON, finished_at=NOON), error(), usage(cost_usd="0.5"))
    shown = either_api.get("/api/executions/a").json
    assert shown.keys() == FIELDS | {"input", "output", "reason", "steps", "errors", "token_usage"}
    assert (shown["duration_ms"], shown["started_at"], shown["attributes"], shown["input"]) == (1_500, NOON, {"k": [1]},
    {"q": 1})
    assert (shown["error_count"], shown["total_tokens"], shown["cost_usd"]) == (1, 15, "0.500000000")
    assert shown["steps"][0].keys() == {"id", "execution_id", "parent_id", "name", "kind", "status", "started_at",
    "finished_at",
                                        "duration_ms", "input", "output", "attributes"}  # fmt: skip
    assert (shown["token_usage"]["calls"], shown["token_usage"]["total_tokens"]) == (1, 15)
    assert [one["error_type"] for one in shown["errors"]] == ["ValueError"]
    [kept] = either_api.get("/api/errors").json["data"]
    assert shown["errors"] == [kept]


def test_without_the_errors_plugin_a_run_shows_what_is_counted_here(app, api, error):
    made(api)
    api.send(error())
    with unit_of_work():
        switch("errors", enabled=False, by="me")
    [shown] = api.get("/api/executions/a").json["errors"]
    assert (shown["error_type"], shown["execution_id"], shown["severity"]) == ("ValueError", "a", None)


def test_a_run_without_anything_else_is_shown_too(app, api):
    shown = made(api, status="queued")
    assert (shown["steps"], shown["errors"], shown["started_at"], shown["duration_ms"], shown["cost_usd"]) == ([], [], None,
    None, None)
    assert shown["token_usage"]["calls"] == 0


def test_ids_may_hold_anything_printable(app, api):
    for name in ("a/b", "ä", "a%b", "x?y", "stats2"):
        made(api, id=name)
        from urllib.parse import quote

        assert api.get(f"/api/executions/{quote(name, safe='')}").json["id"] == name


@pytest.mark.parametrize("path", ["none", "a%00b", "%F0%9F", "%20"])
def test_an_unknown_run_is_404(either_app, either_api, path):
    assert either_api.get(f"/api/executions/{path}").status_code == 404


# --- making and changing ---


def test_a_run_is_made_with_an_id_and_times_of_its_own(app, api, time_of_day):
    running, done, waiting = made(api), made(api, status="failed"), made(api, status="queued", id=None)
    assert len({one["id"] for one in (running, done, waiting)}) == 3
    assert (running["started_at"] is None, running["finished_at"]) == (False, None)
    assert done["finished_at"] == done["started_at"]
    assert waiting["started_at"] is None


@pytest.mark.parametrize(
    ("body", "paths"),
    [({}, ["workflow", "status"]), ({"workflow": "w", "status": []}, ["status"]), ({"workflow": "w", "status": "lost"},
     ["status"]),
     ({**RUN, "id": "a b"}, ["id"]), ({**RUN, "id": 5}, ["id"]), ({**RUN, "started_at": "soon"}, ["started_at"]),
     ({**RUN, "attributes": [1], "agent": 5}, ["agent", "attributes"]), ({"workflow": "", "status": {}}, ["workflow",
     "status"]),
     ([RUN], ["body"]), ("text", ["body"]), ({**RUN, "finished_at": 2**70}, ["finished_at"])],
)  # fmt: skip
def test_what_is_wrong_is_said_by_field(either_app, either_api, body, paths):
    response = either_api.post("/api/executions", json=body)
    assert wrong(response) == paths
    assert listed(either_api) == []


@pytest.mark.parametrize("data", ["{", '{"status":NaN}', '{"a":' + "[" * 5_000, "\xff", '{"status":"\\ud800"}'])
def test_what_is_no_json_is_400(api, data):
    response = api.post("/api/executions", data=data.encode("latin-1"), headers={"Content-Type": "application/json"})
    assert response.status_code == 400


def test_secrets_are_scrubbed_here_too(app, api):
    assert made(api, input={"password": "hunter22"})["input"] == {"password": "[scrubbed]"}


def test_a_change_replaces_what_was_reported(app, api):
    made(api, id="a", agent="g", attributes={"a": 1, "b": 1}, status="failed")
    changed = api.patch("/api/executions/a", json={"agent": "h", "environment": "prod", "attributes": {"a": 2}}).json
    assert (changed["agent"], changed["environment"], changed["attributes"]) == ("h", "prod", {"a": 2, "b": 1})
    assert changed["status"] == "failed"
    api.send({"type": "execution", "id": "a", "agent": "late", **RUN, "status": "failed"})
    assert api.get("/api/executions/a").json["agent"] == "h"


def test_a_change_of_the_status_ends_the_run_now(app, api, time_of_day):
    made(api, id="a")
    time_of_day.pass_by(2_000)
    assert api.patch("/api/executions/a", json={"status": "succeeded"}).json["duration_ms"] == 2_000


def test_a_change_of_something_else_ends_nothing(app, api):
    api.send({"type": "execution", "id": "a", **RUN, "status": "failed"})
    changed = api.patch("/api/executions/a", json={"agent": "g"}).json
    assert (changed["finished_at"], changed["started_at"], changed["agent"]) == (None, None, "g")


def test_a_final_status_is_never_undone(app, api):
    made(api, id="a", status="succeeded")
    response = api.patch("/api/executions/a", json={"status": "running"})
    assert (response.status_code, response.json["status"]) == (200, "succeeded")


def test_a_change_is_refused_as_a_report_is(app, api, step):
    made(api, id="a")
    api.send(step("s", "placeholder"))
    assert wrong(api.patch("/api/executions/a", json={"id": "b"})) == ["id"]
    assert wrong(api.patch("/api/executions/a", json={"status": "x", "agent": 5})) == ["status", "agent"]
    assert wrong(api.patch("/api/executions/placeholder", json={"agent": "g"})) == ["workflow"]
    assert api.patch("/api/executions/none", json={}).status_code == 404


def test_a_lost_run_may_be_changed(app, api, store, time_of_day):
    from pilothouse.db import unit_of_work
    from pilothouse_executions import service

    made(api, id="a")
    time_of_day.pass_by(5_000)
    with unit_of_work():
        service.mark_lost(1_000)
    assert api.get("/api/executions/a").json["status"] == "lost"
    assert api.patch("/api/executions/a", json={"agent": "g"}).json["status"] == "running"
    store.check()


def test_a_step_may_leave_its_kind_out_by_null(app, api, step):
    made(api, id="a")
    assert api.send(step(execution_id="a", kind=None))["accepted"] == 1
    assert api.get("/api/executions/a").json["steps"][0]["kind"] == "other"


# --- cancel and rerun ---


def test_cancel_answers_with_the_record_and_then_409(either_app, either_api):
    made(either_api, id="a")
    response = either_api.post("/api/executions/a/cancel", json={"reason": "too slow"})
    assert (response.status_code, response.json["status"], response.json["reason"]) == (200, "cancelled", "too slow")
    again = either_api.post("/api/executions/a/cancel")
    assert (again.status_code, again.json["type"].rsplit("/", 1)[1]) == (409, "conflict")


def test_rerun_answers_202_with_the_command(either_app, either_api):
    made(either_api, id="a", status="failed")
    response = either_api.post("/api/executions/a/rerun", json={})
    assert (response.status_code, response.json["command"], response.json["execution_id"]) == (202, "rerun", "a")


def test_a_reason_is_text_of_a_bounded_length(app, api):
    made(api, id="a")
    for reason in (5, None, "x" * 2_001):
        assert wrong(api.post("/api/executions/a/cancel", json={"reason": reason})) == ["reason"]
    assert api.post("/api/executions/none/cancel").status_code == 404
    assert api.post("/api/executions/none/rerun").status_code == 404


def test_what_one_may_do_follows_from_the_role(app, api, as_role):
    made(api, id="a")
    viewer, member = as_role("viewer"), as_role("member")
    assert viewer.get("/api/executions/a").status_code == 200
    for path in ("/api/executions/a/cancel", "/api/executions/a/rerun", "/api/executions"):
        assert viewer.post(path, json=RUN).status_code == 403
    assert member.post("/api/executions/a/cancel", json={}).status_code == 200


def test_reporting_takes_the_scope_of_writing_or_of_ingest(app, make_token):
    from pilothouse.testing import Api

    for scopes, status in ((("ingest",), 201), (("write",), 201), (("read",), 403), (("admin",), 403)):
        assert Api(app.test_client(), make_token(*scopes)).post("/api/executions", json=RUN).status_code == status


# --- lists ---


@pytest.fixture
def five(either_app, either_api, execution):
    """Store five runs, a second apart."""
    either_api.send(*(
        execution(f"r{n}", "failed" if n % 2 else "succeeded", workflow=f"w{n % 2}", agent="g" if n == 3 else None,
                  environment="prod", started_at=f"2023-11-16T12:00:0{n}Z")
        for n in range(5)
    ))  # fmt: skip
    return either_api


@pytest.mark.parametrize(
    ("query", "found"),
    [("", "r4 r3 r2 r1 r0"), ("&status=failed", "r3 r1"), ("&status=failed&status=succeeded", "r4 r3 r2 r1 r0"),
     ("&workflow=w0", "r4 r2 r0"),
     ("&agent=g", "r3"), ("&environment=test", ""), ("&q=R2", "r2"), ("&since=2023-11-16T12:00:03Z", "r4 r3"),
     ("&until=2023-11-16T12:00:01Z", "r0"), ("&since=1700136003000", "r4 r3"), ("&since=2023-11-16T13:00:03%2B01:00", "r4 r3"),
     ("&range=1h", ""), ("&status=", "r4 r3 r2 r1 r0"), ("&unknown=1", "r4 r3 r2 r1 r0")],
)  # fmt: skip
def test_the_list_is_filtered_as_asked(five, query, found):
    assert listed(five, query) == found.split()


def test_pages_follow_by_the_cursor(five):
    first = five.get("/api/executions?limit=2").json
    second = five.get(f"/api/executions?limit=2&cursor={first['next_cursor']}").json
    third = five.get(f"/api/executions?limit=2&cursor={second['next_cursor']}").json
    pages = [[one["id"] for one in page["data"]] for page in (first, second, third)]
    assert pages == [["r4", "r3"], ["r2", "r1"], ["r0"]]
    assert third["next_cursor"] is None
    assert first["data"][0].keys() == FIELDS


@pytest.mark.parametrize(
    ("query", "path"),
    [("limit=0", "limit"), ("limit=501", "limit"), ("limit=x", "limit"), ("limit=1.5", "limit"), ("cursor=x", "cursor"),
     ("cursor=W10", "cursor"),
     ("cursor=WzEsIlx1MDAwMCJd", "cursor"), ("status=done", "status"), ("since=soon", "since"),
     ("until=99999999999999999999", "until"),
     ("range=5y", "range"), ("range=500d", "range"), ("q=" + "x" * 256, "q"), ("q=%00", "q"), ("workflow=a%00", "workflow"),
     ("status=a%00", "status")],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_422(either_app, either_api, query, path):
    assert wrong(either_api.get(f"/api/executions?{query}")) == [path]


def test_the_largest_page_is_500(app, api, execution):
    api.send(*(execution(f"r{n}") for n in range(501)))
    assert len(api.get("/api/executions?limit=500").json["data"]) == 500
    assert len(api.get("/api/executions").json["data"]) == 50


def test_workflows_are_listed(five):
    found = five.get("/api/workflows?limit=1").json
    older = five.get(f"/api/workflows?cursor={found['next_cursor']}").json
    assert {one["name"] for one in found["data"] + older["data"]} == {"w0", "w1"}
    assert found["data"][0].keys() == {"id", "name", "created_at"}
    assert older["next_cursor"] is None
    assert wrong(five.get("/api/workflows?limit=501&cursor=x")) == ["limit"]


def test_the_export_has_the_list_s_filters(five):
    response = five.get("/api/executions/export.csv?status=failed")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert response.content_type == "text/csv; charset=utf-8"
    assert [(row["id"], row["status"], row["agent"], row["started_at"]) for row in rows] == [
        ("r3", "failed", "g", "2023-11-16T12:00:03.000Z"), ("r1", "failed", "", "2023-11-16T12:00:01.000Z"),
    ]  # fmt: skip
    assert wrong(five.get("/api/executions/export.csv?status=x")) == ["status"]


def test_formulas_leave_the_export_as_text(app, api):
    made(api, id="a", agent="=1+1", user="+x", environment="@y", release="-1.5")
    row = next(iter(csv.DictReader(io.StringIO(api.get("/api/executions/export.csv").text))))
    assert (row["agent"], row["user"], row["environment"], row["release"]) == ("'=1+1", "'+x", "'@y", "-1.5")


def test_figures_of_a_range(app, api):
    made(api, status="succeeded")
    made(api, workflow="other")
    found = api.get("/api/executions/stats?range=1h").json
    assert found.keys() == {"total", "by_status", "success_rate", "p50_ms", "p95_ms", "p99_ms", "running"}
    assert (found["total"], found["success_rate"], found["running"]) == (2, 1.0, 1)
    assert api.get("/api/executions/stats?workflow=other").json["total"] == 1
    assert wrong(api.get("/api/executions/stats?range=1y")) == ["range"]


# --- conditional ---


def test_an_unchanged_list_costs_no_query(broker_app, broker_api):
    made(broker_api, id="a")
    broker_api.get("/api/executions")  # now the token is known, and its use noted
    first = broker_api.get("/api/executions")
    with count_queries() as statements:
        again = broker_api.get("/api/executions", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data, statements) == (304, b"", [])
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_change_makes_the_list_new(broker_app, broker_api):
    made(broker_api, id="a")
    for change in (lambda: made(broker_api, id="b"), lambda: broker_api.post("/api/executions/a/cancel"),
                   lambda: broker_api.patch("/api/executions/b", json={"agent": "g"})):  # fmt: skip
        etag = broker_api.get("/api/executions").headers["ETag"]
        change()
        assert broker_api.get("/api/executions", headers={"If-None-Match": etag}).status_code == 200


def test_another_question_has_another_etag(broker_app, broker_api):
    etags = {broker_api.get(f"/api/executions?{query}").headers["ETag"] for query in ("", "limit=5", "q=x")}
    assert len(etags) == 3


def test_without_a_broker_the_answer_itself_is_compared(app, api):
    made(api, id="a")
    first = api.get("/api/executions")
    assert api.get("/api/executions", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    made(api, id="b")
    assert api.get("/api/executions", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
