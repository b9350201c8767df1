"""From an event to one row for each person: once, folded, by role and preference, quickly for many."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.identity.models import User
from pilothouse.identity.users import add_user
from pilothouse.sdk import publish
from pilothouse.work.events import DeadLetter
from pilothouse_notifications import telling
from pilothouse_notifications.models import StoredNotice


def test_a_failed_workflow_reaches_every_member_once(app, api, member, fail, drain, rows):
    people = {member("owner"), member("viewer")}
    fail(api, "run-1")
    drain()
    drain()
    assert {row["user_id"] for row in rows("SELECT user_id FROM notifications")} == people
    assert rows("SELECT count(*) AS n FROM notifications")[0]["n"] == 2


@pytest.mark.postgres
def test_somebody_who_is_removed_meanwhile_is_left_out(beside, rows):
    with unit_of_work() as session:
        gone, stays = (add_user(f"{name}@example.com", "member").id for name in ("ada", "bob"))
        session.add(StoredNotice(
            id="n", event_id="e", category="executions.failed", kind="workflow", type="error", title="t", message="m", urgent=False,
            payload="{}", count=1, state=telling.TELLING, created_at=clock.now(),
        ))  # fmt: skip
    with unit_of_work() as session:
        session.delete(session.get_one(User, gone))
        session.flush()
        second = beside(telling.tell_all)
        assert second.waits
    second.end()
    assert [row["user_id"] for row in rows("SELECT user_id FROM notifications")] == [stays]


def test_equal_failures_fold_into_the_unread_notice(app, api, member, fail, drain):
    member("owner")
    for key in ("a", "b", "c"):
        fail(api, key)
        drain()
    found = api.get("/api/notifications").json["data"]
    assert [(notice["title"], notice["count"]) for notice in found] == [("nightly failed", 3)]


def test_a_notice_that_was_read_takes_nothing_in(app, api, member, fail, drain):
    member("owner")
    fail(api, "a")
    drain()
    api.post(f"/api/notifications/{api.get('/api/notifications').json['data'][0]['id']}/read")
    fail(api, "b")
    drain()
    assert [notice["count"] for notice in api.get("/api/notifications").json["data"]] == [1, 1]


def test_other_workflows_are_told_apart(app, api, member, fail, drain):
    member("owner")
    fail(api, "a", workflow="nightly")
    fail(api, "b", workflow="hourly")
    drain()
    assert api.get("/api/notifications/count").json == {"unread": 2}


def test_success_is_told_only_to_those_who_asked(app, api, member, drain):
    member("owner")
    run = {"type": "execution", "workflow": "nightly", "status": "succeeded"}
    api.send({**run, "id": "a"})
    drain()
    assert api.get("/api/notifications/count").json == {"unread": 0}
    api.put("/api/notifications/preferences", json={"categories": {"executions.succeeded": {"in_app": True}}})
    api.send({**run, "id": "b"})
    drain()
    assert [notice["type"] for notice in api.get("/api/notifications").json["data"]] == ["success"]


def test_success_that_nobody_wants_costs_no_row(app, api, member, drain, rows):
    member("owner")
    api.send({"type": "execution", "id": "a", "workflow": "nightly", "status": "succeeded"})
    assert rows("SELECT count(*) AS n FROM notices")[0]["n"] == 0


def test_what_only_admins_may_see_reaches_only_admins(app, member, drain, rows):
    admin = member("admin")
    member("member")
    with unit_of_work():
        publish(DeadLetter(job_id="j", task="weather.fetch", starts=3, error="It is cold."))
    drain()
    assert [row["user_id"] for row in rows("SELECT user_id FROM notifications")] == [admin]


def test_suspended_members_are_told_nothing(app, api, member, fail, drain, rows):
    gone = member()
    with unit_of_work() as session:
        session.execute(text("UPDATE users SET status = 'suspended' WHERE id = :id"), {"id": gone})
    fail(api, "a")
    drain()
    assert rows("SELECT * FROM notifications") == []


def test_an_event_of_a_transaction_that_failed_is_never_told(app, member, drain, rows):
    member("owner")
    try:
        with unit_of_work():
            publish(DeadLetter(job_id="j", task="t", starts=3, error=""))
            raise RuntimeError("broken off")
    except RuntimeError:
        pass
    drain()
    assert rows("SELECT * FROM notices") == []


def test_the_same_event_twice_is_one_notice(app, member, drain, rows):
    member("owner")
    event = DeadLetter(job_id="j", task="t", starts=3, error="")
    for _ in range(2):
        with unit_of_work():
            publish(event)
    drain()
    assert len(rows("SELECT * FROM notices")) == len(rows("SELECT * FROM notifications")) == 1


def test_ten_thousand_equal_failures_make_one_notice_with_a_count(app, api, member, drain, rows):
    member("owner")
    for start in range(0, 10_000, 1_000):
        run = {"type": "execution", "workflow": "storm", "status": "failed"}
        api.send(*({**run, "id": f"run-{number}"} for number in range(start, start + 1_000)))
        drain()
    assert [(row["count"]) for row in rows("SELECT count FROM notifications")] == [10_000]
    assert len(rows("SELECT * FROM notices")) <= 10


def test_a_worker_that_dies_between_two_chunks_tells_nobody_twice(app, api, member, fail, rows, monkeypatch):
    people = [member() for _ in range(5)]
    monkeypatch.setattr(telling, "CHUNK", 2)
    fail(api, "a")
    with_first_chunk = telling._fold_waiting() and rows("SELECT id FROM notices")[0]["id"]
    telling._tell_some(with_first_chunk)
    assert len(rows("SELECT * FROM notifications")) == 2
    telling.tell_all()
    assert sorted(row["user_id"] for row in rows("SELECT user_id FROM notifications")) == sorted(people)


@pytest.mark.parametrize("crowd", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_crowd_is_told_once_each(app, api, fail, rows, crowd):
    at = clock.now()
    people: list[dict[str, Any]] = [{"id": clock.new_id(), "n": number, "at": at} for number in range(crowd)]
    columns = "id, email, name, role, status, created_at"
    insert = f"INSERT INTO users ({columns}) VALUES (:id, 'u' || :n || '@x.com', '', 'member', 'active', :at)"
    with unit_of_work() as session:
        session.execute(text(insert), people)
    fail(api, "a")
    telling.tell_all()
    telling.tell_all()
    told = [row["user_id"] for row in rows("SELECT user_id FROM notifications ORDER BY user_id")]
    assert told == sorted(person["id"] for person in people)


def test_the_database_session_is_clean_afterwards(app, api, member, fail, drain):
    member("owner")
    fail(api, "a")
    drain()
    assert not db.session.dirty
