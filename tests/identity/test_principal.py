"""Who is calling: kept for some seconds while the broker tells of changes, asked for each time while it does not."""

from __future__ import annotations

import pytest
import redis
from flask import render_template_string

from pilothouse import broker
from pilothouse.access import Principal
from pilothouse.changes import Changes
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Conflict, Forbidden, NotSignedIn
from pilothouse.identity.access_tokens import create_token, revoke_token
from pilothouse.identity.models import User
from pilothouse.identity.principal import current_principal, require
from pilothouse.identity.users import add_user, change_user


@pytest.fixture
def app(app_with_broker):
    """Let the tests here use the application with a broker."""
    return app_with_broker


@pytest.fixture
def whoami(app):
    """Add a route that answers with the principal's role and asks nothing else."""

    @app.get("/whoami")
    def route():
        principal = current_principal()
        return principal.role if principal else "nobody"

    return "/whoami"


OWNER = Principal("owner", "owner", user_id=None)


def test_a_poll_costs_no_query(people, app, counted, whoami):
    browser = people.browser()
    browser.get(whoami)
    with counted(app) as statements:
        assert [browser.get(whoami).text for _ in range(3)] == ["member"] * 3
    assert statements == []


def test_a_change_holds_for_the_next_request_all_the_same(people, app, whoami):
    user = people.add("viewer")
    browser = people.sign_in(user)
    assert browser.get(whoami).text == "viewer"
    with app.app_context(), unit_of_work():
        change_user(user.id, by=OWNER, role="member")
    assert browser.get(whoami).text == "member"
    with app.app_context(), unit_of_work():
        change_user(user.id, by=OWNER, status="suspended")
    assert browser.get(whoami).text == "nobody"


def test_a_change_in_another_process_holds_too(people, app, whoami, broker_url):
    user = people.add("viewer")
    browser = people.sign_in(user)
    browser.get(whoami)
    with app.app_context(), unit_of_work():
        db.session.get(User, user.id).role = "admin"
    Changes(broker.connect(broker_url)).bump("identity")
    assert browser.get(whoami).text == "admin"


def test_a_change_that_is_rolled_back_changes_nothing(people, app, whoami):
    user = people.add("viewer")
    browser = people.sign_in(user)

    def change_and_fail():
        with app.app_context(), unit_of_work():
            change_user(user.id, by=OWNER, role="admin")
            add_user(user.email, "viewer")

    with pytest.raises(Conflict):
        change_and_fail()
    assert browser.get(whoami).text == "viewer"


def test_an_expired_session_is_not_kept_longer(people, whoami, time_of_day):
    browser = people.browser()
    assert browser.get(whoami).text == "member"
    time_of_day.pass_by(31 * 86_400_000)
    assert browser.get(whoami).text == "nobody"


def test_an_emptied_broker_signs_nobody_out_and_lets_nobody_in(people, app, whoami, broker_url):
    user = people.add("viewer")
    browser = people.sign_in(user)
    browser.get(whoami)
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
    assert browser.get(whoami).text == "viewer"
    with app.app_context(), unit_of_work():
        change_user(user.id, by=OWNER, status="suspended")
    assert browser.get(whoami).text == "nobody"


def test_a_revoked_token_is_refused_at_once(app, client, whoami):
    with app.app_context(), unit_of_work():
        row, token = create_token("ci", ["read"])
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get(whoami, headers=headers).text == "owner"
    with app.app_context(), unit_of_work():
        revoke_token(row.id)
    assert client.get(whoami, headers=headers).text == "nobody"


def test_a_wrong_token_is_not_replaced_by_the_cookie(people, whoami):
    browser = people.browser()
    assert browser.get(whoami, headers={"Authorization": "Bearer ph_access_wrong"}).text == "nobody"
    assert browser.get(whoami, headers={"Authorization": "Basic eDp5"}).text == "member"


def test_a_session_is_no_bearer_token_and_a_token_no_session(people, app, client, whoami):
    session = people.browser().get_cookie("pilothouse_session").value
    assert client.get(whoami, headers={"Authorization": f"Bearer {session}"}).text == "nobody"
    with app.app_context(), unit_of_work():
        _, token = create_token("ci", ["read"])
    client.set_cookie("pilothouse_session", token)
    assert client.get(whoami).text == "nobody"


def test_templates_know_the_current_user(people, app):
    @app.get("/template")
    def route():
        user = "{{ current_user.is_authenticated }} {{ current_user.name }} {{ current_user.role }}"
        return render_template_string(user)

    assert people.browser("admin").get("/template").text == "True admin@example.com admin"
    assert app.test_client().get("/template").text == "False  "


def test_require_names_what_is_missing(app, people):
    @app.get("/manage")
    def route():
        return require("core.plugins.manage").id

    with app.app_context(), unit_of_work():
        _, token = create_token("ci", ["read"])
    assert app.test_client().get("/manage").status_code == 401
    assert people.browser("member").get("/manage").status_code == 403
    answer = app.test_client().get(
        "/manage", headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}
    )
    assert (answer.status_code, "scope admin" in answer.json["detail"]) == (403, True)


def test_the_next_request_in_the_same_context_is_somebody_elses(people, app, whoami):
    browser, other = people.browser("admin"), app.test_client()
    with app.app_context():
        assert browser.get(whoami).text == "admin"
        assert other.get(whoami).text == "nobody"


def test_outside_of_a_request_nobody_calls(app):
    with app.app_context():
        assert current_principal() is None
        with pytest.raises(NotSignedIn):
            require("core.console.view")


def test_a_forbidden_permission_is_refused_for_every_lower_role(app, people):
    for role in ("member", "viewer"):
        user = people.add(role)
        token = people.sign_in(user).get_cookie("pilothouse_session").value
        with app.test_request_context(headers={"Cookie": f"pilothouse_session={token}"}), pytest.raises(Forbidden):
            require("core.plugins.manage")


def test_who_has_no_name_is_called_by_the_address_and_a_token_by_its_id():
    named = {"name": "Ada", "email": "ada@example.com"}
    called = [Principal("u", "member", **fields).called for fields in (named, {"email": "ada@example.com"}, {})]
    assert called == ["Ada", "ada@example.com", "u"]
