"""The console's pages: list, bell, preferences, channels, deliveries; what is told is shown as text."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def told(app, as_role, api, fail, drain):
    """Return an admin with one unread notification, as their browser."""
    browser = as_role("admin")
    fail(api, "run-1", workflow="<b>nightly</b>")
    drain()
    return browser


def test_the_list_shows_what_was_told_as_text_under_its_day(told):
    page = told.get("/notifications/").text
    assert "&lt;b&gt;nightly&lt;/b&gt; failed" in page
    assert "<b>nightly</b>" not in page
    assert ">Today</th>" in page


def test_every_page_carries_the_true_count_at_first_paint(told):
    assert "data-unread>1<" in told.get("/executions/").text
    told.post("/notifications/read-all")
    assert "data-unread hidden" in told.get("/executions/").text


def test_each_reader_has_a_count_of_their_own(told, as_role):
    newcomer = as_role("viewer")
    assert "data-unread>1<" in told.get("/notifications/").text
    assert "data-unread hidden" in newcomer.get("/notifications/").text


def test_the_bells_panel_lists_the_newest(told):
    panel = told.get("/notifications/", headers={"X-Ph-Fragment": "bell"}).text
    assert "failed" in panel
    assert "<html" not in panel


def test_the_bell_hears_of_news_and_then_of_nothing_new(told):
    asked = told.get("/notifications/", headers={"X-Ph-Fragment": "unread"})
    known = json.loads(asked.headers["X-Ph-Meta"])
    assert (known["unread"], known["toasts"][0]["tone"]) == (1, "error")
    again = told.get("/notifications/", headers={"X-Ph-Fragment": "unread", "If-None-Match": asked.headers["ETag"]})
    assert again.status_code == 304


def test_a_poll_gets_only_rows(told):
    answer = told.get("/notifications/", headers={"X-Ph-Fragment": "rows"})
    assert answer.text.lstrip().startswith("<tr")
    assert json.loads(answer.headers["X-Ph-Meta"])["counts"]["unread"] == 1


def test_marking_works_by_post_only(told):
    key = told.get("/api/notifications").json["data"][0]["id"]
    assert told.get(f"/notifications/{key}/read").status_code == 405
    assert told.post(f"/notifications/{key}/read").status_code == 303
    assert told.post("/notifications/bulk/read", data={"id": key}).status_code == 303
    assert told.get("/api/notifications/count").json == {"unread": 0}


def test_filters_and_empty_states(told, as_role):
    assert "No notification matches" in told.get("/notifications/?category=billing").text
    told.post("/notifications/read-all", data={"category": "workflow"})
    assert "All read" in told.get("/notifications/?unread=true").text
    assert "Nothing to tell yet" in as_role("viewer").get("/notifications/").text


def test_preferences_are_chosen_on_their_page(told):
    told.post("/notifications/preferences", data={"on": ["workflow:in_app", "executions.failed:in_app"]})
    found = told.get("/api/notifications/preferences").json["categories"]
    assert found["workflow"] == {"in_app": True, "email": False}
    assert found["executions.failed"] == {"in_app": True, "email": False}
    assert "What you are told" in told.get("/notifications/preferences").text


def test_quiet_hours_are_chosen_on_their_page_and_a_slip_is_said(told):
    form = {"from": "22:00", "to": "07:00", "tz": "Europe/Berlin", "digest": "daily"}
    assert told.post("/notifications/preferences/schedule", data=form).status_code == 303
    assert told.get("/api/notifications/preferences").json["digest"] == "daily"
    wrong = told.post("/notifications/preferences/schedule", data={**form, "to": ""})
    assert wrong.status_code == 422
    assert "needs both" in wrong.text


def test_a_channel_is_made_tried_and_deleted_on_its_page(told):
    made = told.post("/notifications/channels", data={"name": "Ops", "kind": "email", "url": "ops@example.com"})
    assert "Ops is ready" in made.text
    key = told.get("/api/notifications/channels").json["data"][0]["id"]
    for act in ("test", "off", "on", "delete"):
        assert told.post(f"/notifications/channels/{key}/{act}").status_code == 303
    assert told.get("/api/notifications/channels").json["data"] == []


def test_a_webhooks_secret_is_shown_once_and_a_private_address_refused(told):
    made = told.post("/notifications/channels", data={"name": "H", "kind": "webhook", "url": "https://203.0.114.1/"})
    assert "whsec_" in made.text
    assert "whsec_" not in told.get("/notifications/channels").text
    refused = told.post("/notifications/channels", data={"name": "H", "kind": "webhook", "url": "http://127.0.0.1/"})
    assert refused.status_code == 422
    assert "no public address" in refused.text


def test_the_log_shows_who_was_told(told):
    page = told.get("/notifications/deliveries").text
    assert "1 in the console" in page
    assert told.get("/notifications/deliveries?status=failed").status_code == 200


def test_one_click_ends_the_mails_and_a_get_only_asks(told, client, mailbox):
    link = mailbox()[0]["List-Unsubscribe"].strip("<>").removeprefix("http://localhost")
    assert "No more mail" in client.get(link).text
    assert told.get("/api/notifications/preferences").json["categories"]["workflow"]["email"] is True
    assert client.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert told.get("/api/notifications/preferences").json["categories"]["workflow"]["email"] is False
    assert client.post("/notifications/unsubscribe/forged").status_code == 404
