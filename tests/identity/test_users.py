"""Users: who may change whom, and the owner who always remains."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.access import ROLES, Principal
from pilothouse.db import unit_of_work
from pilothouse.errors import Conflict, Forbidden, Invalid, NotFound
from pilothouse.identity.owner import make_owner
from pilothouse.identity.users import add_user, change_user, get_user, normalise_email, remove_user


def principal(user) -> Principal:
    return Principal(user.id, user.role, user.name, user.email, user_id=user.id)


@pytest.fixture
def change(app):
    """Return the function that changes a user in a unit of work of its own."""

    def change(user, by, **fields):
        with app.app_context(), unit_of_work():
            return change_user(user.id, by=by, **fields)

    return change


@pytest.fixture
def remove(app):
    """Return the function that removes a user."""

    def remove(user, by):
        with app.app_context(), unit_of_work():
            remove_user(user.id, by=by)

    return remove


@pytest.mark.parametrize("text", ["Ada@Example.COM", "  ada@example.com\n"])
def test_addresses_are_stored_in_small_letters(text):
    assert normalise_email(text) == "ada@example.com"


@given(st.text(max_size=300))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_an_address_is_normalised_or_refused_and_never_crashes(text):
    try:
        email = normalise_email(text)
    except Invalid:
        return
    assert normalise_email(email) == email
    assert len(email) <= 254
    assert email.count("@") == 1


def test_two_people_cannot_have_one_address(people):
    people.add(email="ada@example.com")
    with pytest.raises(Conflict):
        people.add(email="Ada@example.com")


@pytest.mark.parametrize("by", ROLES)
@pytest.mark.parametrize("target", ROLES)
def test_owners_manage_all_and_others_only_those_below(people, change, by, target):
    manager = Principal("manager", by)
    user = people.add(target)
    people.add("owner", email="second@example.com")
    if by == "owner" or ROLES.index(by) < ROLES.index(target):
        assert change(user, manager, status="suspended").status == "suspended"
    else:
        with pytest.raises(Forbidden):
            change(user, manager, status="suspended")


@pytest.mark.parametrize(("by", "role", "allowed"), [
    ("owner", "owner", True), ("owner", "admin", True), ("admin", "admin", False), ("admin", "owner", False),
    ("admin", "member", True), ("admin", "viewer", True), ("member", "member", False),
])
def test_nobody_is_raised_to_a_role_that_the_other_does_not_manage(people, change, by, role, allowed):
    user = people.add("viewer")
    if allowed:
        assert change(user, Principal("manager", by), role=role).role == role
    else:
        with pytest.raises(Forbidden):
            change(user, Principal("manager", by), role=role)


def test_an_admin_invites_members_and_viewers_only(context):
    admin = Principal("manager", "admin")
    with pytest.raises(Forbidden), unit_of_work():
        add_user("new@example.com", "admin", invited_by=admin)
    with unit_of_work():
        assert add_user("new@example.com", "member", status="invited", invited_by=admin).joined_at is None


def test_everybody_names_themselves(people, change):
    user = people.add("viewer")
    assert change(user, principal(user), name="  Ada Lovelace ").name == "Ada Lovelace"
    with pytest.raises(Forbidden):
        change(user, principal(user), role="admin")


@pytest.mark.parametrize("fields", [{"role": "king"}, {"status": "invited"}, {"name": "x" * 256}, {"name": "a\x00b"}])
def test_wrong_fields_are_refused(people, change, fields):
    user = people.add("viewer")
    with pytest.raises(Invalid):
        change(user, Principal("manager", "owner"), **fields)


def test_an_invited_person_is_not_made_active_by_others(people, change):
    user = people.add("viewer", status="invited")
    with pytest.raises(Conflict):
        change(user, Principal("manager", "owner"), status="active")


def test_the_last_owner_stays(people, change, remove):
    owner = people.add("owner")
    people.add("owner", email="asleep@example.com", status="suspended")
    for attempt in (
        lambda: change(owner, principal(owner), role="admin"),
        lambda: change(owner, principal(owner), status="suspended"),
        lambda: remove(owner, principal(owner)),
    ):
        with pytest.raises(Conflict):
            attempt()


def test_of_two_owners_who_demote_each_other_one_remains(people, change, rows):
    owners = [people.add("owner", email=f"o{number}@example.com") for number in range(2)]
    for _ in range(5):
        rows("UPDATE users SET role = 'owner'")
        threads = [
            threading.Thread(target=attempt, args=(change, a, principal(b)))
            for a, b in (owners, reversed(owners))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rows("SELECT count(*) FROM users WHERE role = 'owner'") == [(1,)]


def attempt(change, user, by):
    with suppress(Conflict):
        change(user, by, role="admin")


def test_removing_a_person_takes_sessions_and_tokens_along(people, remove, rows):
    user = people.add("viewer")
    people.sign_in(user)
    remove(user, Principal("manager", "admin"))
    assert rows("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions)") == [(0, 0)]
    with pytest.raises(NotFound):
        remove(user, Principal("manager", "admin"))


def test_changes_are_audited_with_what_was_before(people, change, rows):
    user = people.add("viewer")
    change(user, Principal("manager", "owner", email="boss@example.com"), role="member")
    entry = rows("SELECT actor, actor_name, action, target, detail FROM audit_log ORDER BY seq DESC LIMIT 1")[0]
    assert entry[:4] == ("manager", "boss@example.com", "identity.user_changed", user.id)
    assert entry[4] == '{"from": {"role": "viewer"}, "to": {"role": "member"}}'


def test_a_change_that_changes_nothing_leaves_no_trace(people, change, rows):
    user = people.add("viewer")
    before = rows("SELECT count(*) FROM audit_log")
    change(user, Principal("manager", "owner"), role="viewer", status="active")
    assert rows("SELECT count(*) FROM audit_log") == before


def test_the_first_owner_is_made_with_a_link(context):
    assert make_owner("Ada@Example.com").startswith("http://localhost/login/ph_login_")


def test_a_suspended_owner_is_let_in_again(app, people, client, rows):
    people.add("owner", email="ada@example.com")
    rows("UPDATE users SET status = 'suspended'")
    with app.app_context():
        link = make_owner("ada@example.com")
    assert client.post(link.removeprefix("http://localhost")).status_code == 303


def test_a_member_becomes_owner_where_there_is_none(app, people, rows):
    people.add("member", email="ada@example.com")
    with app.app_context():
        make_owner("ada@example.com")
    assert rows("SELECT role, status FROM users") == [("owner", "active")]


@pytest.mark.parametrize("email", ["mallory@example.com", "member@example.com"])
def test_where_there_is_an_owner_nobody_else_is_made_one(app, people, email):
    people.add("owner")
    people.add("member")
    with app.app_context(), pytest.raises(Conflict, match=r"owner@example\.com"):
        make_owner(email)


def test_a_user_that_is_not_there_is_not_found(context):
    with pytest.raises(NotFound):
        get_user("nobody")
