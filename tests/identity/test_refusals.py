"""Refusals leave their trace, each once a minute, and never stand in anybody's way."""

from __future__ import annotations

import pytest

from pilothouse import clock
from pilothouse.identity.refusals import PER_MINUTE, refuse

ENTRIES = "SELECT actor, action, target, outcome FROM audit_log WHERE outcome = 'refused' ORDER BY seq"


@pytest.fixture
def refusing(app):
    """Add a route that refuses for a reason of the caller's choice."""

    @app.get("/refuse/<target>")
    def route(target):
        refuse("test.refused", target, reason="because")
        return "no", 409

    return "/refuse/"


def test_what_is_forbidden_is_recorded_with_who_and_where(people, rows):
    user = people.add("viewer")
    people.sign_in(user).post("/api/auth/logout")
    assert rows(ENTRIES) == [(user.id, "identity.access_refused", "POST /api/auth/logout", "refused")]


def test_wrong_codes_and_used_links_are_recorded(client, people, mails, app, rows):
    people.add()
    client.post("/api/auth/magic-link", json={"email": "member@example.com"})
    link = mails()[0].get_body(("plain",)).get_content().split("http://localhost")[1].split()[0]
    app.test_client().post(link, data={"code": "WRONG"})
    client.post(link)
    app.test_client().post(link)
    assert rows("SELECT action, outcome FROM audit_log WHERE action LIKE '%sign%' ORDER BY seq") == [
        ("identity.sign_in_refused", "refused"), ("identity.signed_in", "ok")
    ]
    assert rows(ENTRIES) == [("anonymous", "identity.sign_in_refused", "member@example.com", "refused")]


def test_wrong_tokens_are_recorded(client, rows):
    client.get("/api/auth/me", headers={"Authorization": "Bearer ph_access_x"})
    client.get("/api/auth/me")
    assert rows(ENTRIES) == [("anonymous", "identity.token_refused", "", "refused")]


def test_a_flood_is_one_entry_a_minute_which_counts_the_rest(client, rows, refusing, time_of_day):
    for _ in range(50):
        client.get(refusing + "a")
    assert len(rows(ENTRIES)) == 1
    time_of_day.pass_by(clock.MINUTE)
    client.get(refusing + "a")
    assert '"folded_before": 49' in rows("SELECT detail FROM audit_log ORDER BY seq DESC LIMIT 1")[0][0]


def test_a_flood_of_different_refusals_is_bounded_too(client, rows, refusing, time_of_day):
    for number in range(PER_MINUTE + 20):
        client.get(f"{refusing}{number}")
    assert len(rows(ENTRIES)) == PER_MINUTE


def test_a_full_disk_does_not_turn_a_refusal_into_an_outage(client, refusing, rows):
    rows("CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
    assert client.get(refusing + "a").status_code == 409
    assert rows(ENTRIES) == []


def test_noting_a_refusal_outside_of_a_request_does_nothing(context, rows):
    refuse("test.refused", "nothing")
    assert rows(ENTRIES) == []
