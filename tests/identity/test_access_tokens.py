"""Access tokens: shown once, stored as a hash, never more than their maker."""

from __future__ import annotations

import pytest

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.crypto import make_token
from pilothouse.db import unit_of_work
from pilothouse.errors import Forbidden, Invalid, NotFound
from pilothouse.identity.access_tokens import create_token, find_token, revoke_leaked, revoke_token, tokens
from pilothouse.identity.users import change_user

OWNER = Principal("owner", "owner")


@pytest.fixture
def make(app):
    """Return the function that makes a token and returns its id and the token."""

    def make(*scopes, **options):
        with app.app_context(), unit_of_work():
            row, token = create_token("ci", scopes or ("read",), **options)
            return row.id, token

    return make


def call(client, token, method="GET", path="/api/auth/me"):
    return client.open(path, method=method, headers={"Authorization": f"Bearer {token}"})


def test_a_token_of_the_command_line_acts_as_owner_within_its_scopes(client, make):
    _, token = make("read")
    me = call(client, token).json
    assert (me["role"], me["user"]["name"], me["user"]["email"], me["csrf_token"]) == ("owner", "ci", None, None)
    assert "core.signals.send" not in me["permissions"]
    assert call(client, token, "POST", "/api/auth/logout").status_code == 403


def test_a_token_without_the_scope_is_refused(client, make):
    assert call(client, make("ingest")[1]).status_code == 403
    assert call(client, make("ingest", "read")[1]).status_code == 200


def test_only_the_hash_is_stored_and_the_prefix_tells_tokens_apart(make, rows):
    _, token = make()
    assert token not in rows.dump()
    ((prefix, hashed),) = rows("SELECT prefix, token_hash FROM access_tokens")
    assert token.startswith(prefix)
    assert len(prefix) == len("ph_access_") + 6
    assert len(hashed) == 64


@pytest.mark.parametrize("token", ["", "x", "ph_access_" + "0" * 49, "Ünïcode", "a" * 5_000])
def test_a_malformed_token_costs_no_query(app, client, counted, token):
    with counted(app) as statements:
        answer = client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")})
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers
    assert not any("FROM access_tokens" in statement for statement in statements)


def test_a_well_formed_token_that_nobody_made_is_refused(client, make):
    make()
    assert call(client, make_token("access")).status_code == 401


def test_a_token_ends_when_it_was_told_to(client, make, time_of_day):
    _, token = make(expires_at=clock.now() + clock.HOUR)
    assert call(client, token).status_code == 200
    time_of_day.pass_by(clock.HOUR)
    assert call(client, token).status_code == 401


def test_a_revoked_token_is_refused_and_gone_from_the_list(app, client, make):
    token_id, token = make()
    with app.app_context(), unit_of_work():
        revoke_token(token_id, by=OWNER)
    assert call(client, token).status_code == 401
    with app.app_context():
        assert tokens() == []
        with pytest.raises(NotFound), unit_of_work():
            revoke_token(token_id)


def test_a_leaked_token_is_revoked_by_whoever_holds_it(app, client, make):
    _, token = make()
    with app.app_context(), unit_of_work():
        assert revoke_leaked(token)
        assert not any(revoke_leaked(text) for text in (token, "nonsense", make_token("access")))
    assert call(client, token).status_code == 401


def test_a_token_has_the_role_of_its_maker(client, make, people):
    member = people.add("member")
    _, token = make(maker=Principal(member.id, "member", user_id=member.id))
    me = call(client, token).json
    assert (me["role"], me["user"]["email"]) == ("member", "member@example.com")


def test_a_token_falls_with_its_maker_and_never_rises(app, client, make, people):
    admin = people.add("admin")
    _, token = make(maker=Principal(admin.id, "member", user_id=admin.id))
    assert call(client, token).json["role"] == "member"
    with app.app_context(), unit_of_work():
        change_user(admin.id, by=OWNER, role="viewer")
    assert call(client, token).json["role"] == "viewer"
    with app.app_context(), unit_of_work():
        change_user(admin.id, by=OWNER, status="suspended")
    assert call(client, token).status_code == 401


def test_a_token_makes_no_token_with_more_scopes(make):
    maker = Principal("token:1", "owner", scopes=frozenset({"read", "admin"}), token_id="1")
    assert make("read", maker=maker)
    with pytest.raises(Forbidden):
        make("write", maker=maker)


def test_nobody_revokes_the_token_of_a_role_above(app, make):
    token_id, _ = make()
    with app.app_context(), pytest.raises(Forbidden), unit_of_work():
        revoke_token(token_id, by=Principal("admin", "admin"))


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at"),
    [("", ["read"], None), ("x" * 256, ["read"], None), ("a\nb", ["read"], None), ("ci", [], None),
     ("ci", ["everything"], None), ("ci", ["read"], 1)],
)
def test_wrong_fields_are_named(context, name, scopes, expires_at):
    with pytest.raises(Invalid) as fault, unit_of_work():
        create_token(name, scopes, expires_at=expires_at)
    assert fault.value.errors[0].path in {"name", "scopes", "expires_at"}


def test_use_is_noted_at_once_and_then_once_a_minute(client, make, rows, time_of_day, app):
    _, token = make()
    call(client, token)
    first = rows("SELECT last_used_at FROM access_tokens")
    time_of_day.pass_by(clock.MINUTE - 1)
    call(client, token)
    assert rows("SELECT last_used_at FROM access_tokens") == first != [(None,)]
    time_of_day.pass_by(1)
    call(client, token)
    assert rows("SELECT last_used_at FROM access_tokens") == [(time_of_day.at,)]


def test_tokens_are_listed_newest_first(app, make):
    first, second = make()[0], make()[0]
    with app.app_context():
        assert [row.id for row in tokens()] == [second, first]
        assert find_token("ph_access_x") is None
