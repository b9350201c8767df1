"""Sessions: on the server, by the hash of a random token, ended from the next request on."""

from __future__ import annotations

import sqlite3
import time

import pytest

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.db import unit_of_work
from pilothouse.identity.devices import describe_device
from pilothouse.identity.sessions import LIFETIME
from pilothouse.identity.users import change_user, remove_user

OWNER = Principal("owner", "owner")


def status(browser) -> int:
    return browser.get("/api/auth/me").status_code


def test_one_is_told_who_one_is_and_what_one_may_do(people):
    me = people.browser("viewer").get("/api/auth/me").json
    assert me["user"]["email"] == "viewer@example.com"
    assert me["role"] == "viewer"
    assert "core.console.view" in me["permissions"]
    assert "core.plugins.manage" not in me["permissions"]


def test_nobody_is_not_signed_in(client):
    answer = client.get("/api/auth/me")
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


def test_signing_out_holds_for_the_next_request(people, csrf):
    browser = people.browser()
    token = browser.get_cookie("pilothouse_session").value
    assert browser.post("/api/auth/logout", headers=csrf(browser)).status_code == 204
    assert browser.get_cookie("pilothouse_session") is None
    browser.set_cookie("pilothouse_session", token)
    assert status(browser) == 401


def test_the_sign_out_form_leads_to_the_sign_in_page(people, csrf):
    browser = people.browser()
    answer = browser.post("/logout", data={"csrf_token": csrf(browser)["X-CSRF-Token"]})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert status(browser) == 401


def test_suspension_holds_for_the_next_request(people, app):
    user = people.add("viewer")
    browser = people.sign_in(user)
    assert status(browser) == 200
    with app.app_context(), unit_of_work():
        change_user(user.id, by=OWNER, status="suspended")
    assert status(browser) == 401


def test_a_change_of_role_holds_for_the_next_request(people, app):
    user = people.add("viewer")
    browser = people.sign_in(user)
    with app.app_context(), unit_of_work():
        change_user(user.id, by=OWNER, role="admin")
    assert browser.get("/api/auth/me").json["role"] == "admin"


def test_a_removed_person_is_signed_out(people, app):
    user = people.add("viewer")
    browser = people.sign_in(user)
    with app.app_context(), unit_of_work():
        remove_user(user.id, by=OWNER)
    assert status(browser) == 401


def test_a_session_lasts_thirty_days(people, time_of_day):
    browser = people.browser()
    time_of_day.pass_by(LIFETIME - 1)
    assert status(browser) == 200
    time_of_day.pass_by(1)
    assert status(browser) == 401


def test_only_the_hash_of_the_token_is_stored(people, rows):
    browser = people.browser()
    assert browser.get_cookie("pilothouse_session").value not in rows.dump()


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(client, people, mails):
    people.add()
    client.post("/api/auth/magic-link", json={"email": "member@example.com"})
    path = mails()[0].get_body(("plain",)).get_content().split("http://localhost")[1].split()[0]
    cookie = client.post(path).headers["Set-Cookie"]
    assert cookie.startswith("pilothouse_session=ph_session_")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize("cookie", ["", "x", "ph_session_" + "0" * 49, "\x7f" * 20, "a" * 4_000])
def test_what_is_no_session_costs_no_query(app, counted, cookie):
    browser = app.test_client()
    browser.set_cookie("pilothouse_session", cookie)
    with counted(app) as statements:
        assert status(browser) == 401
    assert not any("FROM sessions" in statement for statement in statements)


def test_ones_sessions_are_listed_newest_first(people):
    user = people.add()
    people.sign_in(user)
    browser = people.sign_in(user)
    first = browser.get("/api/auth/sessions?limit=1").json
    listed = first["data"] + browser.get(f"/api/auth/sessions?cursor={first['next_cursor']}").json["data"]
    assert [session["current"] for session in listed] == [True, False]
    assert listed[0].keys() == {"id", "device", "address", "last_seen_at", "created_at", "current"}
    assert listed[0]["device"] == "Firefox on Linux"


def test_a_session_can_be_ended_from_another_browser(people, csrf):
    user = people.add()
    lost, browser = people.sign_in(user), people.sign_in(user)
    other = next(s["id"] for s in browser.get("/api/auth/sessions").json["data"] if not s["current"])
    assert browser.delete(f"/api/auth/sessions/{other}", headers=csrf(browser)).status_code == 204
    assert status(lost) == 401
    assert status(browser) == 200


def test_nobody_ends_the_session_of_somebody_else(people, csrf):
    browser, other = people.browser("viewer"), people.browser("member")
    theirs = other.get("/api/auth/sessions").json["data"][0]["id"]
    assert browser.delete(f"/api/auth/sessions/{theirs}", headers=csrf(browser)).status_code == 404
    assert status(other) == 200


def test_use_is_noted_once_a_minute(people, time_of_day, rows, counted, app):
    browser = people.browser()
    time_of_day.pass_by(clock.MINUTE)
    status(browser)
    assert rows("SELECT last_seen_at FROM sessions") == rows("SELECT last_active_at FROM users") == [(time_of_day.at,)]
    with counted(app) as statements:
        status(browser)
    assert not any(statement.startswith("UPDATE") for statement in statements)


def test_noting_the_use_waits_for_no_other_writer(people, time_of_day, rows):
    browser = people.browser()
    time_of_day.pass_by(clock.HOUR)
    writer = sqlite3.connect(rows.path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    started = time.perf_counter()
    assert status(browser) == 200
    assert time.perf_counter() - started < 4  # other writers are waited for 8 s
    writer.close()
    status(browser)
    assert rows("SELECT last_seen_at FROM sessions") == [(time_of_day.at,)]


AGENTS = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox on Linux",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/18 Safari/605": "Safari on macOS",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/140 Safari/537 Edg/140": "Edge on Windows",
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537 Chrome/140 Mobile Safari/537": "Chrome on Android",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) CriOS/140 Safari/604": "Chrome on iPhone",
    "curl/8.5.0": "curl",
    "something new": "something new",
    "": "Unknown",
}


@pytest.mark.parametrize(("agent", "name"), AGENTS.items())
def test_devices_have_names_for_people(agent, name):
    assert describe_device(agent) == name
