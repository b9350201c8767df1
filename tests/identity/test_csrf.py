"""CSRF: a session's unsafe requests need the page's token and must come from our own pages."""

from __future__ import annotations

import re

import pytest
from flask import render_template_string

from pilothouse.db import unit_of_work
from pilothouse.identity.access_tokens import create_token

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def path(app):
    """Add a route that takes every method."""

    @app.route("/thing", methods=["GET", *UNSAFE])
    def thing():
        return "done"

    return "/thing"


def problem(answer):
    return answer.status_code, answer.json["type"].rpartition("/")[2]


JSON = {"Accept": "application/json"}


@pytest.mark.parametrize("method", UNSAFE)
def test_without_the_token_nothing_is_done(people, path, method):
    answer = people.browser().open(path, method=method, headers=JSON)
    assert problem(answer) == (403, "csrf")


@pytest.mark.parametrize("method", UNSAFE)
def test_with_the_token_in_the_header_it_is(people, path, method, csrf):
    browser = people.browser()
    assert browser.open(path, method=method, headers=csrf(browser)).text == "done"


def test_with_the_token_in_the_form_it_is(people, path, csrf):
    browser = people.browser()
    token = csrf(browser)["X-CSRF-Token"]
    assert browser.post(path, data={"csrf_token": token}).text == "done"
    assert browser.post(path, data={"csrf_token": token}, content_type="multipart/form-data").text == "done"
    assert browser.post(path, json={"csrf_token": token}).status_code == 403


def test_each_answer_writes_the_token_differently_and_all_hold(people, path, csrf):
    browser = people.browser()
    tokens = [csrf(browser)["X-CSRF-Token"] for _ in range(5)]
    assert len(set(tokens)) == 5
    assert {browser.post(path, headers={"X-CSRF-Token": token}).text for token in tokens} == {"done"}


def test_all_forms_of_an_answer_have_the_same_token(people):
    browser = people.browser("owner")
    tokens = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get("/settings/plugins").text)
    assert len(tokens) > 1
    assert len(set(tokens)) == 1


def test_the_token_of_another_session_does_not_hold(people, path, csrf):
    mine, theirs = people.browser("member"), people.browser("viewer")
    assert mine.post(path, headers=csrf(theirs)).status_code == 403


@pytest.mark.parametrize("token", ["", "x", "ä", "A" * 86, "A" * 85, "!" * 86, "A" * 10_000])
def test_what_is_no_token_does_not_hold(people, path, token):
    headers = {"X-CSRF-Token": token.encode().decode("latin-1"), **JSON}
    assert problem(people.browser().post(path, headers=headers)) == (403, "csrf")


@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
    {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
])
def test_another_sites_page_is_refused_even_with_the_token(people, path, csrf, headers):
    browser = people.browser()
    assert browser.post(path, headers={**csrf(browser), **headers}).status_code == 403


@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}, {},
])
def test_our_own_pages_and_programs_are_not(people, path, csrf, headers):
    browser = people.browser()
    assert browser.post(path, headers={**csrf(browser), **headers}).text == "done"


def test_reading_needs_no_token(people, path):
    assert people.browser().get(path).text == "done"


def test_programs_and_nobody_need_none(app, client, path):
    with app.app_context(), unit_of_work():
        _, token = create_token("ci", ["write"])
    assert client.post(path, headers={"Authorization": f"Bearer {token}"}).text == "done"
    assert client.post(path).text == "done"


def test_a_cookie_of_a_session_that_is_over_needs_none(client, path):
    client.set_cookie("pilothouse_session", "ph_session_" + "0" * 49)
    assert client.post(path).text == "done"


def test_pages_carry_the_token_only_where_somebody_is_signed_in(app, client, people):
    app.add_url_rule("/page", view_func=lambda: render_template_string("{{ csrf_token() }}"))
    assert client.get("/page").text == ""
    assert len(people.browser().get("/page").text) == 86
