"""A provider that lies, breaks, rotates its keys, or is away: nobody comes in by mistake, and it is no 500."""

from __future__ import annotations

import pytest
from tests.plugins.oidc.conftest import settings

from pilothouse_oidc import provider as talking

LIES = (
    "wrong_nonce", "no_nonce", "wrong_audience", "wrong_issuer", "expired", "from_the_future", "unsigned", "signed_with_secret",
    "foreign_key", "broken_signature", "other_party", "no_subject", "no_id_token",
)  # fmt: skip


@pytest.fixture
def ann(member):
    """Return a member whom the provider could let in."""
    return member()


@pytest.mark.parametrize("fault", LIES)
def test_a_token_that_proves_nothing_lets_nobody_in(client, ann, provider, come_in, fault):
    provider.tell(fault=fault)
    answer = come_in()
    assert (answer.status_code, client.get("/api/auth/me").status_code) == (403, 401)


def test_user_info_of_somebody_else_is_refused(client, ann, provider, come_in):
    provider.tell(person={"sub": "s-1", "name": "Ann"}, fault="other_user_info")
    assert come_in().status_code == 403


def test_a_rotated_key_is_followed_at_once(client, ann, provider, come_in):
    assert come_in().status_code == 303
    provider.tell(rotate=True)
    assert come_in().status_code == 303


def test_an_answer_that_is_no_json_is_an_outage(client, ann, provider, come_in):
    provider.tell(fault="no_json")
    answer = come_in()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_a_provider_that_is_away_keeps_nobody_from_the_mail_link(build_app):
    app = build_app(**settings("http://127.0.0.1:9"))
    browser = app.test_client()
    assert browser.get("/oidc/start").status_code == 503
    assert browser.get("/login").status_code == 200


def test_a_provider_of_another_name_is_not_used(client, provider):
    talking._describe.cache_clear()
    provider.tell(fault="other_issuer")
    answer = client.get("/oidc/start")
    assert (answer.status_code, "another name" in answer.text) == (503, True)


def test_a_private_address_is_refused_without_the_setting(build_app, provider):
    talking._describe.cache_clear()
    app = build_app(**settings(provider.issuer, PILOTHOUSE_ALLOW_PRIVATE_TARGETS="off"))
    assert app.test_client().get("/oidc/start").status_code == 503
    app = build_app(**settings("https://127.0.0.1:9", PILOTHOUSE_ALLOW_PRIVATE_TARGETS="off"))
    assert "no public address" in app.test_client().get("/oidc/start").text


def test_the_description_is_asked_for_once(client, provider, come_in, ann):
    talking._describe.cache_clear()
    before = provider.asked().count("/.well-known/openid-configuration")
    come_in()
    come_in()
    assert provider.asked().count("/.well-known/openid-configuration") == before + 1


def test_starts_of_one_network_are_limited(client):
    codes = [client.get("/oidc/start").status_code for _ in range(62)]
    assert (codes[0], codes[-1]) == (303, 429)
