"""The pages of signing in: usable without scripts, and leading nowhere else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.identity.next_path import local_path
from pilothouse.identity.pages import masked


def link_in(mail) -> str:
    return re.search(r"http://localhost(/login/\S+)", mail.get_body(("plain",)).get_content())[1]


def test_the_first_visitor_is_told_how_to_become_owner(client, people):
    assert b"pilothouse owner" in client.get("/login").data
    people.add("owner")
    assert b"pilothouse owner" not in client.get("/login").data


def test_the_form_leads_to_a_page_with_the_code(client, people, mails, app):
    people.add()
    page = client.post("/login", data={"email": "Member@Example.com"})
    assert page.status_code == 200
    code = re.search(r'id="sign-in-code">([2-9A-Z]{8})<', page.text)[1]
    assert app.test_client().post(link_in(mails()[0]), data={"code": code}).status_code == 303


def test_without_a_mail_server_the_page_says_where_the_mail_is(client, people):
    people.add()
    assert "the mail lies in the folder" in client.post("/login", data={"email": "member@example.com"}).text


def test_one_comes_back_to_the_page_that_one_wanted(client, people, mails):
    people.add()
    assert 'value="/executions/?status=failed"' in client.get("/login?next=/executions/?status%3Dfailed").text
    client.post("/login", data={"email": "member@example.com", "next": "/executions/?status=failed"})
    assert client.post(link_in(mails()[0])).headers["Location"] == "/executions/?status=failed"


def test_signing_in_leads_to_no_other_host(client, people, mails):
    people.add()
    client.post("/login", data={"email": "member@example.com", "next": "//evil.example/"})
    assert client.post(link_in(mails()[0])).headers["Location"] == "/"


def test_who_is_signed_in_goes_on(people):
    answer = people.browser().get("/login?next=/errors/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/errors/")


def test_what_is_no_address_is_said_beside_the_field(client):
    page = client.post("/login", data={"email": "<b>x"})
    assert page.status_code == 422
    assert "not an e-mail address" in page.text
    assert "&lt;b&gt;x" in page.text


def test_a_limited_visitor_is_told_how_long_to_wait(client):
    for _ in range(5):
        client.post("/login", data={"email": "ada@example.com"})
    page = client.post("/login", data={"email": "ada@example.com"})
    assert page.status_code == 429
    assert 0 < int(page.headers["Retry-After"]) <= 600
    assert "10 min" in page.text


def test_another_site_cannot_ask_for_links(client):
    form = {"email": "ada@example.com"}
    assert client.post("/login", data=form, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/login", data=form, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_wrong_code_is_said_beside_the_field(client, people, mails, app):
    people.add()
    client.post("/login", data={"email": "member@example.com"})
    page = app.test_client().post(link_in(mails()[0]), data={"code": "WRONG"})
    assert page.status_code == 403
    assert "not the code" in page.text
    assert 'name="code"' in page.text


@pytest.mark.parametrize(("body", "status"), [("[1]", 403), ("{", 400), ('{"code": 7}', 403), ("", 403)])
def test_a_program_may_send_the_code_as_json_and_nonsense_is_refused(client, people, mails, app, body, status):
    people.add()
    client.post("/login", data={"email": "member@example.com"})
    answer = app.test_client().post(link_in(mails()[0]), data=body, content_type="application/json")
    assert answer.status_code == status


def test_the_mail_says_what_it_is_in_text_and_html(client, people, mails):
    people.add()
    client.post("/login", data={"email": "member@example.com"})
    mail = mails()[0]
    assert (mail["To"], mail["Subject"]) == ("member@example.com", "Sign in to Pilothouse")
    for kind in ("plain", "html"):
        assert "10 minutes" in mail.get_body((kind,)).get_content()


LOCAL = ["/", "/executions/", "/executions/?q=a%20b&status=failed", "/a#b"]
FOREIGN = ["", None, "x", "//evil.example", "/\\evil.example", "\\\\evil", "https://evil.example", "javascript:x()",
           "/a\tb", "/\n/evil.example", "/ä", "/x" * 1_001, "/a\\b", "/ x"]  # fmt: skip


@pytest.mark.parametrize("path", LOCAL)
def test_paths_of_this_host_are_kept(path):
    assert local_path(path) == path


@pytest.mark.parametrize("path", FOREIGN)
def test_everything_else_leads_home(path):
    assert local_path(path) == "/"


@given(st.text())
def test_whatever_is_wanted_the_way_stays_here(wanted):
    path = local_path(wanted)
    assert path[0] == "/"
    assert path[1:2] not in {"/", "\\"}


def test_an_address_is_shown_to_those_who_know_it():
    assert masked("ada@example.com") == "a***@example.com"
    assert masked("") == ""
