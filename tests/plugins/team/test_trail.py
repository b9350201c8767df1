"""The audit log and what members did, over HTTP."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from flask import g

from pilothouse import audit
from pilothouse.access import ROLES
from pilothouse.clock import DAY, HOUR, to_rfc3339
from pilothouse.db import unit_of_work

FIELDS = {"id", "at", "actor", "action", "target", "outcome"}


@pytest.fixture
def noted(app):
    """Return a function that records an entry."""

    def note(action: str = "thing.done", target: str = "", **fields: Any) -> None:
        g.pop(audit.ACTING, None)  # who made the last request of this test
        with unit_of_work():
            audit.record(action, target, **fields)

    return note


def actions(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["action"] for row in answer.json["data"]]


def test_an_entry_has_the_fields_of_the_contract(owner, noted):
    noted("thing.done", "thing:1", detail={"size": 3})
    row = owner.get("/api/team/audit?action=thing.done").json["data"][0]
    assert row.keys() >= FIELDS
    assert (row["actor"], row["target"], row["outcome"], row["detail"]) == ("system", "thing:1", "ok", {"size": 3})


def test_the_log_is_newest_first_and_pages_without_gaps(owner, noted):
    for number in range(9):
        noted(f"thing.{number}", "page")
    found, cursor = [], ""
    while cursor is not None:
        page = owner.get(f"/api/team/audit?target=page&limit=4&cursor={cursor}")
        found += actions(page)
        cursor = page.json["next_cursor"]
        noted("thing.late", "page")
    assert found == [f"thing.{number}" for number in range(8, -1, -1)]


@pytest.mark.parametrize(("query", "count"), [
    ("action=thing.done", 2), ("target=thing:2", 1), ("outcome=refused&q=thing", 1), ("q=THING.", 2), ("q=blue", 1),
    ("q=100%25", 0), ("actor=system&q=thing", 2), ("actor=nobody", 0),
])
def test_the_log_is_filtered(owner, noted, query, count):
    noted("thing.done", "thing:1", detail={"colour": "blue"})
    noted("thing.done", "thing:2", outcome="refused")
    assert len(owner.get(f"/api/team/audit?{query}").json["data"]) == count


def test_the_log_is_filtered_by_time(owner, noted, time_of_day):
    start = time_of_day()
    noted("thing.old")
    time_of_day.pass_by(2 * HOUR)
    noted("thing.new")
    since = to_rfc3339(start + HOUR)
    assert actions(owner.get("/api/team/audit", query_string={"since": since, "q": "thing"})) == ["thing.new"]
    assert actions(owner.get("/api/team/audit", query_string={"until": since, "q": "thing"})) == ["thing.old"]
    assert actions(owner.get("/api/team/audit?range=1h&q=thing")) == ["thing.new"]


def test_an_actor_is_found_by_id_and_by_address(owner, team):
    user = team.add("viewer")
    team.browser(user)
    for actor in (user.id, "viewer@example.com"):
        assert actions(owner.get("/api/team/audit", query_string={"actor": actor})) == ["identity.signed_in"]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=x", "since=yesterday", "range=3y"])
@pytest.mark.parametrize("path", ["/api/team/audit", "/api/team/activity"])
def test_wrong_filters_are_refused(owner, path, query):
    assert owner.get(f"{path}?{query}").status_code == 422


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", ["/api/team/audit", "/api/team/audit/export.csv", "/api/team/activity", "/api/team/invites"])
def test_owners_and_admins_read_it(team, owner, role, path):
    answer = team.browser(team.add(role, email="reader@example.com")).get(path)
    assert answer.status_code == (200 if role in {"owner", "admin"} else 403)


def test_activity_is_what_members_did(owner, noted, team):
    noted("thing.done")
    team.browser(team.add("viewer")).get("/api/team/audit")
    rows = owner.get("/api/team/activity").json["data"]
    assert {row["actor_name"] for row in rows} == {"owner@example.com", "viewer@example.com"}
    assert {row["outcome"] for row in rows} == {"ok"}
    refused = owner.get("/api/team/audit?outcome=refused").json["data"]
    assert [row["action"] for row in refused] == ["identity.access_refused"]


def test_activity_of_one_member_and_of_a_period(owner, team, time_of_day):
    user = team.add("viewer")
    team.browser(user)
    assert actions(owner.get(f"/api/team/activity?actor={user.id}")) == ["identity.signed_in"]
    assert actions(owner.get(f"/api/team/activity?actor={user.id}&action=thing")) == []
    time_of_day.pass_by(2 * DAY)
    assert actions(owner.get(f"/api/team/activity?actor={user.id}&range=1d")) == []


def test_last_active_follows(owner, team, time_of_day):
    user = team.add("viewer")
    browser = team.browser(user)
    before = owner.get(f"/api/team/members/{user.id}").json["last_active_at"]
    time_of_day.pass_by(2 * HOUR)
    browser.get("/api/team/members")
    assert owner.get(f"/api/team/members/{user.id}").json["last_active_at"] > before


def test_every_change_of_the_team_is_recorded_with_who_made_it(client, owner, invited, team):
    client.post(invited())
    user = team.add("viewer")
    owner.patch(f"/api/team/members/{user.id}", json={"role": "member"})
    owner.delete(f"/api/team/members/{user.id}")
    rows = owner.get("/api/team/audit").json["data"]
    by_action = {row["action"]: row["actor_name"] for row in rows if row["action"] != "identity.user_added"}
    assert by_action["team.invite_sent"] == by_action["identity.user_changed"] == "owner@example.com"
    assert by_action["identity.user_removed"] == "owner@example.com"
    assert by_action["team.invite_accepted"] == "new@example.com"


def test_a_refused_change_is_recorded_too(admin, owner):
    owner_id = owner.get("/api/auth/me").json["user"]["id"]
    admin.patch(f"/api/team/members/{owner_id}", json={"role": "viewer"})
    (row,) = owner.get("/api/team/audit?outcome=refused").json["data"]
    assert (row["actor_name"], row["action"]) == ("admin@example.com", "identity.access_refused")


def test_an_expired_link_leaves_a_trace(client, owner, invited, time_of_day):
    link = invited()
    time_of_day.pass_by(8 * DAY)
    client.post(link)
    (row,) = owner.get("/api/team/audit?action=team.invite_refused").json["data"]
    assert (row["actor"], row["target"], row["detail"]["reason"]) == ("anonymous", "new@example.com", "expired")


def test_the_whole_log_is_exported_without_formulas(owner):
    with unit_of_work():
        for number in range(1_100):
            audit.record("thing.done", f"=cmd{number}")
    answer = owner.get("/api/team/audit/export.csv?action=thing.done")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 1_100
    assert rows[0]["target"] == "'=cmd1099"
    assert rows[0].keys() >= FIELDS


def test_no_entry_holds_a_link(owner, invited):
    token = invited().removeprefix("/invite/")
    assert token not in owner.get("/api/team/audit").text
