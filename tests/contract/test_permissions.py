"""Who may call what: every route, every method, every kind of caller, generated from the routes themselves."""

from __future__ import annotations

import re

import pytest

from pilothouse.access import PUBLIC, Principal
from pilothouse.db import unit_of_work
from pilothouse.identity.models import User
from pilothouse.runtime import runtime
from pilothouse.testing import ROLES, open_browser_session
from pilothouse.web.mounting import permission_of

pytestmark = pytest.mark.no_cover

SAFE = {"GET"}
# Where the permission alone is not enough: notices are a person's own, which a token of the command line is not; a profile
# is one's own or that of somebody whom one manages; a token makes none with scopes that it has not.
MORE = re.compile(r"^/notifications/|^/api/team/members/<|^/(welcome|sources)/token$")
_PART = re.compile(r"<(?:(?P<kind>[^:<>]+):)?[^<>]+>")


def filled(rule: str) -> str:
    """Put values into a rule that no row has."""
    return _PART.sub(lambda part: "1" if part["kind"] == "int" else "no-such-thing", rule)


def stated(app, rule, method):
    """Return the permission that a route states for a method: an admin view may state one a handler."""
    view = app.view_functions[rule.endpoint]
    page = getattr(view, "__self__", None) or getattr(view, "admin_view", None)
    del method
    if page is not None and hasattr(page, "permission_for"):
        return page.permission_for(rule.endpoint.rpartition(".")[2])
    return permission_of(app, rule.endpoint)


def calls(app):
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, stated(app, rule, method)


def ask(client, rule, method):
    options = {} if method in SAFE else {"json": {}}
    return client.open(filled(rule.rule), method=method, headers={"Accept": "application/json"}, **options)


@pytest.fixture
def browsers(app, as_role):
    return {role: as_role(role) for role in ROLES}


@pytest.fixture
def suspended(app):
    client = app.test_client()
    client.set_cookie("pilothouse_session", open_browser_session("member"))
    with unit_of_work() as session:
        user = session.query(User).order_by(User.created_at.desc()).first()
        user.status = "suspended"
    return client


def test_every_route_states_a_permission_that_exists(app):
    known = set(runtime().registry.permissions) | {PUBLIC}
    assert [rule.rule for rule, _, permission in calls(app) if permission not in known] == []


def test_a_role_is_refused_exactly_where_its_permission_is_missing(app, browsers):
    wrong = []
    for rule, method, permission in calls(app):
        if permission == PUBLIC:
            continue
        roles = runtime().registry.permission(permission).roles
        for role, client in browsers.items():
            status = ask(client, rule, method).status_code
            may = role in roles
            if (not may and status != 403) or (may and status in {401, 403} and not MORE.match(rule.rule)):
                wrong.append((method, rule.rule, permission, role, status))
        if rule.rule.endswith("/logout"):  # it ended the sessions
            for role, client in browsers.items():
                client.set_cookie("pilothouse_session", open_browser_session(role))
                client.environ_base["HTTP_X_CSRF_TOKEN"] = client.get("/api/auth/me").json["csrf_token"]
    assert wrong == [], "\n".join(map(str, wrong))


def test_nobody_and_the_suspended_get_nothing_that_is_not_public(app, client, suspended):
    wrong = []
    for rule, method, permission in calls(app):
        if permission == PUBLIC:
            continue
        # a session of somebody suspended is nobody's, but its cookie makes an unsafe request one that needs a CSRF token
        for name, caller, expected in (("nobody", client, {401}), ("suspended", suspended, {401} if method in SAFE else {401, 403})):
            answer = ask(caller, rule, method)
            # a page leads to signing in, which only a browser that reads can follow
            page = method in SAFE and (rule.rule in {"/api/", "/api/docs"} or not rule.rule.startswith("/api/"))
            to_login = page and "/login" in answer.headers.get("Location", "")
            if answer.status_code not in expected and not to_login:
                wrong.append((method, rule.rule, name, answer.status_code))
    assert wrong == [], "\n".join(map(str, wrong))


def test_a_token_without_the_scope_is_refused_everywhere(app, make_token):
    tokens = {scope: make_token(scope) for scope in ("ingest", "read", "write", "admin", "gateway")}
    wrong = []
    for rule, method, name in calls(app):
        if name == PUBLIC:
            continue
        permission = runtime().registry.permission(name)
        for scope, token in tokens.items():
            may = Principal("token:x", "owner", scopes=frozenset({scope})).may(permission)
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            options = {} if method in SAFE else {"json": {}}
            status = app.test_client().open(filled(rule.rule), method=method, headers=headers, **options).status_code
            if (not may and status != 403) or (may and status == 403 and not MORE.match(rule.rule)):
                wrong.append((method, rule.rule, name, scope, status))
    assert wrong == [], "\n".join(map(str, wrong))


def test_no_answer_to_a_stranger_is_a_fault(app, client):
    broken = [(m, r.rule) for r, m, _ in calls(app) if ask(client, r, m).status_code >= 500 and "readyz" not in r.rule]
    assert broken == []
