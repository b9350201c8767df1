"""Dangerous acts ask once more who is there when the sign-in is older than ten minutes; programs are not asked."""

from __future__ import annotations

import pytest

from pilothouse import clock

KEY = {"name": "main", "service": "openai", "secret": "sk-0123456789abcdef"}


@pytest.fixture
def later():
    """Let the clock jump ahead by so many ms."""
    ahead, real = [0], clock._system_now
    with clock.replaced(lambda: real() + ahead[0]):
        yield lambda ms: ahead.__setitem__(0, ahead[0] + ms)


DANGEROUS = (
    ("/keys/add", KEY), ("/keys/tokens", {"name": "t", "scope": "read"}), ("/settings/plugins/oidc", {"enabled": "0"}),
    ("/factors/codes", {}), ("/factors/recovery", {}), ("/factors/codes/off", {}),
)  # fmt: skip


@pytest.mark.parametrize(("path", "fields"), DANGEROUS)
def test_an_old_session_is_asked_again_and_led_back(make_person, later, path, fields):
    browser = make_person("olga@example.com", "owner").browser()
    later(11 * clock.MINUTE)
    answer = browser.post(path, **fields)
    assert (answer.status_code, answer.location) == (303, "/login?again=1&next=/factors/")
    page = browser.get(answer.location)
    assert (page.status_code, "Confirm that it is you" in page.text, "olga@example.com" in page.text) == (200, True, True)


@pytest.mark.parametrize(("path", "fields"), DANGEROUS[:2])
def test_a_fresh_session_is_not_asked(make_person, later, path, fields):
    browser = make_person("olga@example.com", "owner").browser()
    later(9 * clock.MINUTE)
    assert "again=1" not in (browser.post(path, **fields).location or "")


def test_scripts_of_the_console_are_told(make_person, later):
    browser = make_person("olga@example.com", "owner").browser()
    me = browser.get("/api/auth/me").json
    later(11 * clock.MINUTE)
    for method, path, body in (
        ("POST", "/api/keys", KEY), ("POST", "/api/access-tokens", {"name": "t", "scopes": ["read"]}),
        ("POST", "/api/team/invites", {"email": "x@example.com", "role": "admin"}),
        ("PATCH", f"/api/team/members/{me['user']['id']}", {"role": "admin"}), ("PATCH", "/api/plugins/oidc", {"enabled": False}),
    ):  # fmt: skip
        answer = browser.client.open(path, method=method, json=body, headers={"X-CSRF-Token": me["csrf_token"]})
        assert (answer.status_code, answer.json["type"].rsplit("/", 1)[-1]) == (403, "proof_wanted"), path


def test_harmless_acts_go_on(make_person, later):
    browser = make_person("olga@example.com", "owner").browser()
    later(11 * clock.MINUTE)
    assert browser.get("/keys/").status_code == 200
    assert browser.post("/team/sessions/name", name="Olga").location == "/team/sessions/"


def test_a_code_is_proof_enough(person, later):
    browser = person.browser()
    person.switch_on(browser)
    later(11 * clock.MINUTE)
    asked = browser.get(browser.post("/keys/add", **KEY).location)
    assert asked.location == "/factors/confirm?next=/factors/"
    assert browser.post("/factors/confirm", code=person.code(), next="/keys/").location == "/keys/"
    assert browser.post("/keys/add", **KEY).location == "/keys/"


def test_programs_are_not_asked(api):
    assert api.post("/api/keys", json=KEY).status_code == 201
