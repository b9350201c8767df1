"""The endpoints of errors, as programs call them."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.clock import DAY, HOUR, now, to_rfc3339
from pilothouse.testing import Api

ERROR_FIELDS = {
    "id", "execution_id", "workflow_id", "group_id", "error_type", "message", "stack_trace", "severity", "resolved",
    "resolved_at", "resolution_notes", "created_at",
}  # fmt: skip
GROUP_FIELDS = {
    "id", "title", "error_type", "status", "severity", "count", "users", "first_seen_at", "last_seen_at", "assignee_id",
    "regressed",
}  # fmt: skip


def error(key: str, **fields: Any) -> dict[str, Any]:
    return {"type": "error", "id": key, "error_type": "ValueError", "message": f"bad value {key}", **fields}


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json["data"]]


def group_of(api: Api, key: str) -> str:
    return str(api.get(f"/api/errors/{key}").json["group_id"])


def test_an_error_comes_back_as_it_was_sent(api):
    frames = [{"file": "shop/orders.py", "function": "load", "line": 3, "context_line": "x()", "vars": {"n": 1}}]
    at = now() - HOUR
    more = {"handled": True, "release": "1.2", "environment": "prod", "user": "ada", "attributes": {"a": [1]}}
    api.send(error("e1", at=at, frames=frames, **more))
    found = api.get("/api/errors/e1").json
    assert found.keys() >= ERROR_FIELDS
    assert found["created_at"] == to_rfc3339(at)
    assert (found["frames"], found["attributes"], found["handled"]) == (frames, {"a": [1]}, True)
    assert (found["release"], found["environment"], found["user"]) == ("1.2", "prod", "ada")
    assert (found["resolved"], found["resolved_at"], found["execution_id"]) == (False, None, None)


def test_frames_are_read_from_the_trace_where_none_were_sent(api):
    trace = 'Traceback (most recent call last):\n  File "/srv/x.py", line 3, in load\n    y()\nValueError: bad\n'
    api.send(error("e1", stack_trace=trace))
    found = api.get("/api/errors/e1").json
    assert found["stack_trace"] == trace
    assert found["frames"] == [{"file": "/srv/x.py", "function": "load", "line": 3, "context_line": "y()"}]


def test_the_list_is_newest_first_and_pages_without_gaps(api):
    start = now() - HOUR
    api.send(*(error(f"e{n}", at=start + n // 3) for n in range(20)))
    first = api.get("/api/errors?limit=7").json
    api.send(error("new"))
    second = api.get(f"/api/errors?limit=500&cursor={first['next_cursor']}").json
    seen = [record["id"] for record in [*first["data"], *second["data"]]]
    assert len(first["data"]) == 7
    assert seen == [f"e{n}" for n in reversed(range(20))]
    assert second["next_cursor"] is None
    assert first["data"][0].keys() >= ERROR_FIELDS


def test_the_list_filters(api):
    at = now() - DAY
    api.send(
        error("low", severity="low", workflow="nightly", at=at),
        error("high", severity="high", workflow="hourly", at=at + 10, message="Ärger mit Öl"),
        error("other", severity="high", error_type="KeyError", at=at + 20),
    )
    assert ids(api.get("/api/errors?severity=high")) == ["other", "high"]
    assert ids(api.get("/api/errors?severity=high&severity=low")) == ["other", "high", "low"]
    assert ids(api.get("/api/errors?workflow=nightly")) == ["low"]
    workflow_id = api.get("/api/errors/low").json["workflow_id"]
    assert ids(api.get(f"/api/errors?workflow={workflow_id}")) == ["low"]
    assert ids(api.get("/api/errors?workflow=unknown")) == []
    assert ids(api.get(f"/api/errors?group={group_of(api, 'other')}")) == ["other"]
    assert ids(api.get(f"/api/errors?since={at + 10}&until={at + 20}")) == ["high"]
    assert ids(api.get("/api/errors?range=1h")) == []


def test_q_is_a_part_of_type_or_message_whatever_its_case(either_api):
    shouted = "ÄRGER: 100% _ \\"
    either_api.send(error("a", at=1), error("b", at=2, error_type="KeyError"), error("c", at=3, message=shouted))
    expected = {
        "keyerr": ["b"], "BAD": ["b", "a"], "100%": ["c"], "ärger": ["c"], "_": ["c"], "r_": [], "d v": ["b", "a"], "\\": ["c"],
        "zz": [],
    }  # fmt: skip
    found = {q: ids(either_api.get("/api/errors", query_string={"q": q})) for q in expected}
    assert found == expected


def test_q_pages_like_the_list(api):
    api.send(*(error(f"e{n}", at=n, message="odd" if n % 2 else "even") for n in range(600)))
    first = api.get("/api/errors?q=odd&limit=200").json
    rest = api.get(f"/api/errors?q=odd&limit=200&cursor={first['next_cursor']}").json
    assert [r["id"] for r in first["data"] + rest["data"]] == [f"e{n}" for n in reversed(range(1, 600, 2))]


def test_an_error_is_resolved_with_notes_and_reopened(api):
    api.send(error("e1"), error("e2"))
    answer = api.post("/api/errors/e1/resolve", json={"resolution_notes": "fixed in 1.3"})
    assert answer.status_code == 200
    assert answer.json["resolved"] is True
    assert answer.json["resolution_notes"] == "fixed in 1.3"
    assert answer.json["resolved_at"].endswith("Z")
    assert ids(api.get("/api/errors?resolved=true")) == ["e1"]
    assert ids(api.get("/api/errors?resolved=false")) == ["e2"]
    reopened = api.post("/api/errors/e1/reopen").json
    assert (reopened["resolved"], reopened["resolved_at"], reopened["resolution_notes"]) == (False, None, None)


def test_a_group_tells_how_often_since_when_and_for_whom(api):
    at = now() - 2 * HOUR
    api.send(
        error("e1", at=at, user="ada", release="1.0", workflow="nightly", execution_id="r1"),
        error("e2", at=at + 5, user="bob", release="1.1", workflow="nightly", execution_id="r2"),
        error("e3", at=at + 9, user="ada", release="1.1", workflow="nightly", execution_id="r2", severity="critical"),
    )
    (group,) = api.get("/api/errors/groups").json["data"]
    assert group.keys() >= GROUP_FIELDS
    assert (group["count"], group["users"], group["executions"]) == (3, 2, 2)
    assert (group["first_seen_at"], group["last_seen_at"]) == (to_rfc3339(at), to_rfc3339(at + 9))
    assert (group["title"], group["severity"], group["status"]) == ("ValueError: bad value e3", "critical", "open")
    assert (group["first_release"], group["last_release"], group["workflow"]) == ("1.0", "1.1", "nightly")
    assert group["reason"].startswith("by type and message")


def test_groups_are_found_by_a_version_that_had_them(either_api):
    either_api.send(
        error("e1", release="1.0"), error("e2", release="1.1"), error("k1", error_type="KeyError", release="1.1"),
        error("t1", error_type="TypeError"),
    )  # fmt: skip
    bad, key = group_of(either_api, "e1"), group_of(either_api, "k1")
    assert {version: set(ids(either_api.get(f"/api/errors/groups?release={version}"))) for version in ("1.0", "1.1", "2.0")} == {
        "1.0": {bad}, "1.1": {bad, key}, "2.0": set(),
    }  # fmt: skip
    either_api.patch(f"/api/errors/groups/{bad}", json={"status": "resolved"})
    assert ids(either_api.get("/api/errors/groups?release=1.1&status=open")) == [key]


def test_a_groups_page_has_its_hours_and_activity(api):
    at = now() - 3 * HOUR
    api.send(error("e1", at=at), error("e2", at=at), error("e3"))
    group = api.get(f"/api/errors/groups/{group_of(api, 'e1')}?range=24h").json
    counts = {hour["at"]: hour["count"] for hour in group["histogram"]}
    assert len(counts) in {24, 25}
    assert counts[to_rfc3339(at - at % HOUR)] == 2
    assert sum(counts.values()) == 3
    assert (group["activity"], group["last_error_id"]) == ([], "e3")


def test_groups_are_listed_by_status_the_one_seen_last_first(api):
    api.send(*(error(f"e{n}", at=n, error_type=f"Type{n}x") for n in range(5)))
    keys = [group_of(api, f"e{n}") for n in range(5)]
    api.patch(f"/api/errors/groups/{keys[1]}", json={"status": "ignored"})
    assert ids(api.get("/api/errors/groups?status=ignored")) == [keys[1]]
    first = api.get("/api/errors/groups?status=open&limit=2").json
    rest = api.get(f"/api/errors/groups?status=open&cursor={first['next_cursor']}").json
    assert [g["id"] for g in first["data"] + rest["data"]] == [keys[4], keys[3], keys[2], keys[0]]


def test_a_group_is_resolved_with_its_errors_and_a_later_error_opens_it_again(api):
    api.send(error("e1", at=now() - HOUR))
    key = group_of(api, "e1")
    group = api.patch(f"/api/errors/groups/{key}", json={"status": "resolved", "resolution_notes": "patched"}).json
    assert (group["status"], group["regressed"], group["resolution_notes"]) == ("resolved", False, "patched")
    assert api.get("/api/errors/e1").json["resolved"] is True
    api.send(error("e2", at=now() + 50))
    group = api.get(f"/api/errors/groups/{key}").json
    assert (group["status"], group["regressed"], group["count"]) == ("open", True, 2)
    assert [entry["action"] for entry in group["activity"]] == ["regressed", "resolved"]
    assert ids(api.get("/api/errors?resolved=false")) == ["e2"]


def test_a_group_is_given_to_an_active_member_and_taken_back(api, as_role):
    api.send(error("e1"))
    key = group_of(api, "e1")
    member = as_role("member").get("/api/auth/me").json["user"]["id"]
    assert api.patch(f"/api/errors/groups/{key}", json={"assignee_id": member}).json["assignee_id"] == member
    assert api.get("/api/errors/groups", query_string={"assignee_id": member}).json["data"][0]["id"] == key
    assert api.patch(f"/api/errors/groups/{key}", json={"status": "open"}).json["assignee_id"] == member
    assert api.patch(f"/api/errors/groups/{key}", json={"assignee_id": None}).json["assignee_id"] is None


def test_a_severity_that_a_person_set_stays(api):
    api.send(error("e1"))
    key = group_of(api, "e1")
    assert api.patch(f"/api/errors/groups/{key}", json={"severity": "low"}).json["severity"] == "low"
    api.send(error("e2", severity="critical"))
    assert api.get(f"/api/errors/groups/{key}").json["severity"] == "low"


WRONG_CHANGES = (
    {"assignee_id": "nobody"}, {"assignee_id": "a\0b"}, {"status": "closed"}, {"severity": "huge"}, {"status": 1},
    {"severity": None}, {"resolution_notes": "x" * 10_001},
)  # fmt: skip


def test_a_wrong_change_of_a_group_is_422_and_changes_nothing(api):
    api.send(error("e1"))
    path = f"/api/errors/groups/{group_of(api, 'e1')}"
    before = api.get(path).json
    for body in WRONG_CHANGES:
        answer = api.patch(path, json=body)
        assert answer.status_code == 422, body
        assert answer.json["errors"][0]["path"] == next(iter(body))
    assert api.get(path).json == before


WRONG_QUERIES = (
    "limit=0", "limit=501", "limit=x", "cursor=x", "cursor=WzEsIngiXQ", "cursor=WzEsIi0xIl0", "severity=huge",
    "resolved=maybe", "since=yesterday", "range=9y", "group=a%00b", "q=a%00b", "workflow=%00",
)  # fmt: skip


def test_wrong_parameters_are_422(api):
    assert {query: api.get(f"/api/errors?{query}").status_code for query in WRONG_QUERIES} == dict.fromkeys(WRONG_QUERIES, 422)
    for query in ("limit=0", "cursor=x", "status=closed", "severity=huge"):
        assert api.get(f"/api/errors/groups?{query}").status_code == 422


def test_what_is_not_there_is_404(api):
    for path in ("nope", "groups/nope", "%00", "groups/%00", "a/b"):
        assert api.get(f"/api/errors/{path}").status_code == 404


def test_acting_on_what_is_not_there_is_404(api):
    assert api.post("/api/errors/nope/resolve", json={}).status_code == 404
    assert api.post("/api/errors/nope/reopen").status_code == 404
    assert api.patch("/api/errors/groups/nope", json={"status": "open"}).status_code == 404


def test_ids_with_a_slash_and_other_letters_work(api):
    api.send(error("run/7#ö"))
    assert api.get("/api/errors/run%2F7%23%C3%B6").json["id"] == "run/7#ö"
    assert api.post("/api/errors/run%2F7%23%C3%B6/resolve", json={}).json["resolved"] is True


def test_viewers_read_and_members_act(api, as_role):
    api.send(error("e1"))
    key = group_of(api, "e1")
    viewer, member = as_role("viewer"), as_role("member")
    assert viewer.get("/api/errors").status_code == viewer.get(f"/api/errors/groups/{key}").status_code == 200
    assert viewer.post("/api/errors/e1/resolve", json={}).status_code == 403
    assert viewer.patch(f"/api/errors/groups/{key}", json={"status": "ignored"}).status_code == 403
    assert member.post("/api/errors/e1/resolve", json={"resolution_notes": "done"}).status_code == 200
    assert member.post("/api/errors/e1/reopen").status_code == 200
    assert member.patch(f"/api/errors/groups/{key}", json={"status": "ignored"}).json["status"] == "ignored"


def test_nobody_and_tokens_without_the_scope_are_refused(app, client, make_token):
    reader = Api(client, make_token("read"))
    assert client.get("/api/errors").status_code == 401
    assert reader.get("/api/errors").status_code == 200
    assert reader.post("/api/errors/e1/resolve", json={}).status_code == 403
    assert Api(client, make_token("ingest")).get("/api/errors/groups").status_code == 403


@pytest.mark.parametrize("path", ["/api/errors", "/api/errors/groups"])
def test_an_unchanged_list_is_304_and_a_changed_one_is_not(api, path):
    api.send(error("e1"))
    tag = api.get(path).headers["ETag"]
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    api.post("/api/errors/e1/resolve", json={"resolution_notes": "done"})
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_actions_are_in_the_audit_log(api, app):
    from pilothouse import audit
    from pilothouse.db import db

    api.send(error("e1"))
    api.post("/api/errors/e1/resolve", json={"resolution_notes": "done"})
    api.patch(f"/api/errors/groups/{group_of(api, 'e1')}", json={"status": "ignored"})
    actions = [entry.action for entry in db.session.query(audit.AuditEntry).order_by(audit.AuditEntry.seq)]
    assert actions[-2:] == ["error.resolved", "error_group.changed"]
    assert audit.verify() is None
