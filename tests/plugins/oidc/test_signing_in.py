"""Signing in with a provider over real HTTP: who comes in, who does not, and what is kept of it."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.plugins.oidc.conftest import ANN, answer_of, settings

from pilothouse.db import db, unit_of_work
from pilothouse.identity.models import User
from pilothouse.testing import make_app
from pilothouse_oidc.models import OidcIdentity


def me(client):
    answer = client.get("/api/auth/me")
    return answer.json["user"]["email"] if answer.status_code == 200 else None


def test_a_member_comes_in_by_the_verified_address(app, client, member, come_in, entries):
    member()
    answer = come_in("/oidc/start?next=/errors/")
    assert (answer.status_code, answer.headers["Location"], me(client)) == (303, "/errors/", "ann@example.com")
    assert len(entries("identity.signed_in")) == len(entries("oidc.identity_bound")) == 1


def test_the_login_page_has_the_button_and_keeps_where_to_go(client):
    assert "/oidc/start?next=/errors/" in client.get("/login?next=/errors/").text


def test_what_leaves_for_the_provider_is_pkce_with_state_and_nonce(client):
    first, second = (parse_qs(urlsplit(client.get("/oidc/start").headers["Location"]).query) for _ in range(2))
    assert {"state", "nonce", "code_challenge"} <= first.keys()
    assert first["code_challenge_method"] == ["S256"]
    assert all(first[name] != second[name] for name in ("state", "nonce", "code_challenge"))


def test_the_cookie_shows_nothing_to_scripts_and_is_gone_afterwards(client, member, come_in):
    member()
    kept = client.get("/oidc/start").headers["Set-Cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=Lax" in kept
    come_in()
    assert client.get_cookie("pilothouse_oidc") is None


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example/", "/\\evil.example", "/a b"])
def test_nobody_is_led_to_another_host(client, member, come_in, path):
    member()
    assert come_in(f"/oidc/start?next={path}").headers["Location"] == "/"


def test_strangers_stay_outside_and_it_is_noted(client, come_in, entries):
    answer = come_in()
    assert (answer.status_code, me(client)) == (403, None)
    assert "ask an admin" in answer.text
    (entry,) = entries("oidc.sign_in_refused")
    assert (entry.target, entry.outcome) == ("ann@example.com", "refused")


def test_an_invitation_is_accepted_with_its_role(app, client, as_role, come_in, entries):
    as_role("owner").post("/api/team/invites", json={"email": "ann@example.com", "role": "admin"})
    assert come_in().status_code == 303
    assert client.get("/api/auth/me").json["role"] == "admin"
    assert len(entries("team.invite_accepted")) == 1


def test_an_invitation_that_was_taken_back_lets_nobody_in(app, client, as_role, come_in):
    owner = as_role("owner")
    made = owner.post("/api/team/invites", json={"email": "ann@example.com", "role": "admin"}).json
    owner.delete(f"/api/team/invites/{made['id']}")
    assert (come_in().status_code, me(client)) == (403, None)


def test_an_invitation_that_is_over_lets_nobody_in(app, client, as_role, come_in):
    as_role("owner").post("/api/team/invites", json={"email": "ann@example.com", "role": "admin"})
    with unit_of_work() as session:
        session.execute(db.text("UPDATE team_invites SET expires_at = 1"))
    answer = come_in()
    assert (answer.status_code, "invitation is over" in answer.text) == (403, True)


def test_the_suspended_stay_outside(client, member, come_in):
    member(status="suspended")
    assert (come_in().status_code, me(client)) == (403, None)


def test_one_who_is_suspended_later_stays_outside_too(app, client, member, come_in):
    key = member()
    come_in()
    with unit_of_work() as session:
        session.get(User, key).status = "suspended"
    assert (come_in().status_code, me(client)) == (403, None)


DOMAINS = {"PILOTHOUSE_OIDC_DOMAINS": "example.com, example.org", "PILOTHOUSE_OIDC_ROLE": "member"}


@pytest.mark.parametrize("app", [DOMAINS], indirect=True)
def test_people_of_allowed_domains_become_members_with_the_role(app, client, come_in):
    assert come_in().status_code == 303
    told = client.get("/api/auth/me").json
    assert (told["role"], told["user"]["name"]) == ("member", "Ann")


@pytest.mark.parametrize("app", [DOMAINS], indirect=True)
@pytest.mark.parametrize("email", ["ann@sub.example.com", "ann@example.com.evil.example", "ann@notexample.com"])
def test_other_domains_are_not_allowed_ones(app, client, provider, come_in, email):
    provider.tell(person={**ANN, "email": email})
    assert (come_in().status_code, me(client)) == (403, None)


@pytest.mark.parametrize("app", [DOMAINS], indirect=True)
@pytest.mark.parametrize("verified", [False, None, "false", 1, [True]])
def test_an_address_that_is_not_verified_opens_nothing(app, client, provider, member, come_in, verified):
    member()
    provider.tell(person={**ANN, "email_verified": verified})
    answer = come_in()
    assert (answer.status_code, "not verified" in answer.text, me(client)) == (403, True, None)


@pytest.mark.parametrize("email", ["", "nobody", None, 5, {"a": 1}])
def test_a_provider_without_an_address_is_no_fault(client, provider, come_in, email):
    provider.tell(person={**ANN, "email": email})
    assert come_in().status_code == 403


def test_later_the_subject_counts_and_not_the_address(client, provider, member, come_in):
    member()
    come_in()
    provider.tell(person={**ANN, "email": "ann.new@example.com", "email_verified": False})
    assert (come_in().status_code, me(client)) == (303, "ann@example.com")


def test_somebody_else_who_got_the_address_does_not_become_the_member(client, provider, member, come_in):
    member()
    come_in()
    client.delete_cookie("pilothouse_session")
    provider.tell(person={**ANN, "sub": "s-99"})
    assert (come_in().status_code, me(client)) == (403, None)


def test_who_was_removed_is_a_stranger_again(app, client, member, come_in):
    key = member()
    come_in()
    with unit_of_work() as session:
        session.delete(session.get(User, key))
    assert come_in().status_code == 403
    assert db.session.query(OidcIdentity).count() == 0


def test_addresses_are_the_same_in_any_case(client, provider, member, come_in):
    member()
    provider.tell(person={**ANN, "email": "Ann@Example.com"})
    assert come_in().status_code == 303


def test_the_address_may_come_from_user_info(client, provider, member, come_in):
    member()
    provider.tell(fault="by_user_info")
    assert (come_in().status_code, me(client)) == (303, "ann@example.com")


def test_an_answer_works_once(client, member):
    member()
    path = answer_of(client)
    assert (client.get(path).status_code, client.get(path).status_code) == (303, 403)


def test_an_answer_brought_to_another_browser_signs_nobody_in(app, client, member):
    member()
    other = app.test_client()
    other.get("/oidc/start")
    assert (other.get(answer_of(client)).status_code, me(other)) == (403, None)


def test_the_second_of_two_starts_counts(client, member):
    member()
    first = answer_of(client)
    client.get("/oidc/start")
    assert (client.get(first).status_code, me(client)) == (403, None)


def test_ten_minutes_are_enough(client, member, time_of_day):
    member()
    path = answer_of(client)
    time_of_day.pass_by(10 * 60_000 + 1)
    assert client.get(path).status_code == 403


def test_who_turns_back_at_the_provider_reads_it(client, provider, come_in):
    provider.tell(fault="denied")
    answer = come_in()
    assert (answer.status_code, "turned back" in answer.text) == (403, True)


@pytest.mark.parametrize("query", ["", "?state=x", "?code=x", "?state=%00&code=%FF", "?error=<script>", "?state[]=a"])
def test_made_up_answers_are_refused_in_words(client, query):
    client.get("/oidc/start")
    answer = client.get(f"/oidc/callback{query}")
    assert (answer.status_code, "<script>alert" in answer.text) == (403, False)


def test_without_settings_there_is_neither_button_nor_page(build_app):
    browser = build_app().test_client()
    assert "/oidc/" not in browser.get("/login").text
    assert [browser.get(path).status_code for path in ("/oidc/start", "/oidc/callback")] == [404, 404]


@pytest.mark.parametrize(("name", "value"), [
    ("PILOTHOUSE_OIDC_ISSUER", "ftp://x"), ("PILOTHOUSE_OIDC_ROLE", "owner"), ("PILOTHOUSE_OIDC_DOMAINS", "*"),
])  # fmt: skip
def test_wrong_settings_are_named(tmp_path, name, value):
    from pilothouse.errors import SettingsError
    from pilothouse.testing import environment

    with pytest.raises(SettingsError, match=name):
        make_app(environment(tmp_path, **settings("https://id.example.com", **{name: value})))


def test_half_a_set_up_is_told_by_the_doctor(build_app):
    from pilothouse_oidc.options import problem

    with build_app(PILOTHOUSE_OIDC_ISSUER="https://id.example.com").app_context():
        assert problem() == "PILOTHOUSE_OIDC_CLIENT_ID is missing."


def test_the_secret_is_in_no_answer_and_no_log(client, member, come_in, provider, capfd):
    member()
    provider.tell(fault="no_json")
    text = come_in().text + json.dumps(client.get("/api/openapi.json").json) + "".join(capfd.readouterr())
    assert "s3cret" not in text
