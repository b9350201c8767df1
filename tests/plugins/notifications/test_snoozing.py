"""Putting a notification away until later: it leaves what is unread, comes back once, and never against a switch."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pilothouse import clock
from pilothouse.clock import HOUR
from pilothouse.db import unit_of_work
from pilothouse.identity.users import add_user
from pilothouse_notifications import service, tasks
from pilothouse_notifications.models import Notification, StoredNotice


@pytest.fixture
def told(app, as_role, api, fail, drain):
    """Return an owner with one unread notification, as their browser."""
    browser = as_role("owner")
    fail(api, "run-1")
    drain()
    return browser


def newest(browser):
    return browser.get("/api/notifications").json["data"][0]


def put_away(browser, until=None, **more):
    body = {"until": clock.now() + HOUR if until is None else until, **more}
    return browser.post(f"/api/notifications/{newest(browser)['id']}/snooze", json=body)


def unread(browser):
    return browser.get("/api/notifications/count").json["unread"]


def test_it_leaves_what_is_unread_and_comes_back_once(told, time_passes):
    answer = put_away(told)
    assert (answer.status_code, answer.json["read"], unread(told)) == (200, True, 0)
    assert told.get("/api/notifications?unread=true").json["data"] == []
    time_passes(HOUR + 1_000)
    assert (service.wake_snoozed(), service.wake_snoozed()) == (1, 0)
    assert (unread(told), newest(told)["snoozed_until"]) == (1, None)


def test_it_does_not_come_back_before_its_time(told, time_passes):
    put_away(told)
    time_passes(HOUR - 5_000)
    tasks.sweep({})
    assert unread(told) == 0
    time_passes(10_000)
    tasks.sweep({})
    assert unread(told) == 1


def test_it_comes_back_to_the_top_of_the_bell(told, api, fail, drain, time_passes):
    put_away(told)
    time_passes(60_000)
    fail(api, "run-2", workflow="later")
    drain()
    time_passes(HOUR)
    tasks.sweep({})
    panel = told.get("/notifications/", headers={"X-Ph-Fragment": "bell"}).text
    assert panel.index("nightly failed") < panel.index("later failed")


def test_a_poll_hears_of_its_coming_back(told, time_passes):
    put_away(told)
    etag = told.get("/api/notifications/count").headers["ETag"]
    time_passes(2 * HOUR)
    tasks.sweep({})
    assert told.get("/api/notifications/count", headers={"If-None-Match": etag}).status_code == 200


def test_what_was_switched_off_meanwhile_stays_away(told, time_passes):
    put_away(told)
    told.put("/api/notifications/preferences", json={"categories": {"workflow": {"in_app": False}}})
    time_passes(2 * HOUR)
    assert service.wake_snoozed() == 0
    assert (unread(told), newest(told)["snoozed_until"]) == (0, None)


@pytest.mark.parametrize(("act", "left"), [("unread", 1), ("read", 0)])
def test_reading_or_bringing_back_ends_it(told, time_passes, act, left):
    key = put_away(told).json["id"]
    told.post(f"/api/notifications/{key}/{act}")
    time_passes(2 * HOUR)
    assert (service.wake_snoozed(), unread(told), newest(told)["snoozed_until"]) == (0, left, None)


@pytest.mark.parametrize("until", [0, "2020-01-01T00:00:00Z", "9999-01-01T00:00:00Z", "tomorrow", None])
def test_moments_that_make_no_sense_name_the_field(told, until):
    answer = told.post(f"/api/notifications/{newest(told)['id']}/snooze", json={"until": until})
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "until")


def test_others_cannot_put_it_away(told, as_role):
    key = newest(told)["id"]
    answer = as_role("owner").post(f"/api/notifications/{key}/snooze", json={"until": clock.now() + HOUR})
    assert answer.status_code == 404


def test_what_is_put_away_is_listed_and_found_on_the_page(told):
    put_away(told)
    assert len(told.get("/api/notifications?snoozed=true").json["data"]) == 1
    assert "Put away until" in told.get("/notifications/?snoozed=true").text
    told.post(f"/notifications/{newest(told)['id']}/unread")
    assert "Nothing is put away" in told.get("/notifications/?snoozed=true").text


@pytest.mark.parametrize(("form", "days"), [({"until": "tomorrow"}, 1), ({"until": "day", "day": "+3"}, 3)])
def test_mornings_are_those_of_the_readers_zone(told, form, days):
    zone = ZoneInfo("Asia/Kolkata")
    morning = datetime.now(zone).date() + timedelta(days=days)
    told.set_cookie("ph_zone", "Asia/Kolkata")
    data = {**form, "day": morning.isoformat()} if "day" in form else form
    assert told.post(f"/notifications/{newest(told)['id']}/snooze", data=data).status_code == 303
    until = datetime.fromisoformat(newest(told)["snoozed_until"]).astimezone(zone)
    assert (until.date(), until.hour, until.minute) == (morning, 8, 0)


@pytest.mark.parametrize(
    "form", [{}, {"until": "day", "day": "soon"}, {"until": "day", "day": "1999-01-01"}, {"until": "day", "day": "9999-12-31"}]
)
def test_a_form_without_a_day_is_refused(told, form):
    assert told.post(f"/notifications/{newest(told)['id']}/snooze", data=form).status_code == 422


def test_an_hour_is_taken_back(told):
    answer = told.post(f"/notifications/{newest(told)['id']}/snooze", data={"until": "hour"}, headers={"X-Ph-Async": "1"})
    told.post(answer.json["toast"]["undo"]["url"])
    assert unread(told) == 1


@pytest.mark.postgres
def test_what_another_worker_brings_back_is_left_to_it(beside):
    at = clock.now()
    with unit_of_work() as session:
        reader = add_user("ada@example.com", "member").id
        session.add(StoredNotice(
            id="n", event_id="e", category="executions.failed", kind="workflow", type="error", title="t", message="m", urgent=False,
            payload="{}", count=1, state="done", created_at=at,
        ))  # fmt: skip
        session.flush()
        session.add(Notification(
            id="c", notice_id="n", user_id=reader, kind="workflow", count=1, read_at=at, snoozed_until=at - 1, created_at=at
        ))  # fmt: skip
    with unit_of_work() as session:
        session.get_one(Notification, "c", with_for_update=True)
        second = beside(service.wake_snoozed)
        waits = second.waits
    second.end()
    assert not waits
