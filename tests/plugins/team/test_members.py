"""Members over HTTP: who is listed, who may change whom, and the owner who always remains."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.plugins.team.conftest import Team

from pilothouse.access import ROLES
from pilothouse.db import db, unit_of_work
from pilothouse.identity.models import User
from pilothouse.testing import Api, count_queries

FIELDS = {"id", "email", "name", "role", "status", "invited_by", "joined_at", "last_active_at", "created_at"}


def test_a_member_has_the_fields_of_the_contract(team, owner):
    user = team.add("viewer", name="Ada")
    found = owner.get(f"/api/team/members/{user.id}").json
    assert found.keys() == FIELDS
    assert (found["email"], found["name"], found["role"], found["status"]) == ("viewer@example.com", "Ada", "viewer", "active")
    assert found["joined_at"].endswith("Z")


def test_the_list_is_newest_first_and_pages_without_gaps(team, owner):
    ids = [team.add(email=f"m{number}@example.com").id for number in range(7)]
    first = owner.get("/api/team/members?limit=3&role=member").json
    second = owner.get(f"/api/team/members?limit=3&role=member&cursor={first['next_cursor']}").json
    third = owner.get(f"/api/team/members?limit=3&role=member&cursor={second['next_cursor']}").json
    found = [row["id"] for page in (first, second, third) for row in page["data"]]
    assert (found, third["next_cursor"]) == (ids[::-1], None)


@pytest.mark.parametrize(("query", "count"), [
    ("q=grace", 1), ("q=GRACE@", 1), ("q=%25", 0), ("role=viewer", 1), ("status=suspended", 1),
    ("status=active&role=member", 1),
])
def test_the_list_is_filtered(team, owner, query, count):
    team.add("viewer", name="Grace Hopper", email="grace@example.com", status="suspended")
    team.add("member")
    assert len(owner.get(f"/api/team/members?{query}").json["data"]) == count


@pytest.mark.parametrize("role", ROLES)
def test_everybody_in_the_team_sees_the_members(team, owner, role):
    reader = team.browser(team.add(role, email="reader@example.com"))
    assert reader.get("/api/team/members").status_code == 200


@pytest.mark.parametrize("by", ROLES)
@pytest.mark.parametrize("target", ROLES)
def test_owners_manage_all_and_admins_those_below(team, by, target):
    team.add("owner", email="first@example.com")
    browser = team.browser(team.add(by, email="by@example.com"))
    user = team.add(target, email="target@example.com")
    allowed = by == "owner" or (by == "admin" and target in {"member", "viewer"})
    for change in ({"name": "Other"}, {"status": "suspended"}, {"role": "viewer"}):
        assert browser.patch(f"/api/team/members/{user.id}", json=change).status_code == (200 if allowed else 403)
    assert browser.delete(f"/api/team/members/{user.id}").status_code == (204 if allowed else 403)


@pytest.mark.parametrize(("by", "role"), [
    ("admin", "owner"), ("member", "owner"), ("member", "admin"), ("viewer", "owner"), ("viewer", "admin"),
    ("viewer", "member"),
])
def test_nobody_rises_by_their_own_hand(team, owner, by, role):
    user = team.add(by, email="by@example.com")
    answer = team.browser(user).patch(f"/api/team/members/{user.id}", json={"role": role})
    assert answer.status_code == 403
    assert owner.get(f"/api/team/members/{user.id}").json["role"] == by


def test_an_admin_raises_nobody_to_admin(team, admin):
    user = team.add("viewer")
    assert admin.patch(f"/api/team/members/{user.id}", json={"role": "admin"}).status_code == 403
    assert admin.patch(f"/api/team/members/{user.id}", json={"role": "member"}).json["role"] == "member"


@pytest.mark.parametrize("role", ROLES)
def test_everybody_names_themselves(team, owner, role):
    user = team.add(role, email="self@example.com")
    answer = team.browser(user).patch(f"/api/team/members/{user.id}", json={"name": " Ada Moreau "})
    assert (answer.status_code, answer.json["name"]) == (200, "Ada Moreau")


@pytest.mark.parametrize("body", [
    {"role": "king"}, {"status": "invited"}, {"status": "gone"}, {"name": "x" * 256}, {"name": "a\u0007"}, {"role": 7},
])
def test_wrong_fields_are_refused(team, owner, body):
    user = team.add("viewer")
    answer = owner.patch(f"/api/team/members/{user.id}", json=body)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["path"] == next(iter(body))


def test_somebody_who_is_not_there_is_not_found(owner):
    assert owner.get("/api/team/members/nobody").status_code == 404
    assert owner.patch("/api/team/members/nobody", json={"role": "viewer"}).status_code == 404
    assert owner.delete("/api/team/members/nobody").status_code == 404


def test_the_last_active_owner_stays(team, owner):
    me = owner.get("/api/auth/me").json["user"]["id"]
    team.add("owner", email="asleep@example.com", status="suspended")
    for answer in (
        owner.patch(f"/api/team/members/{me}", json={"role": "admin"}),
        owner.patch(f"/api/team/members/{me}", json={"status": "suspended"}),
        owner.delete(f"/api/team/members/{me}"),
    ):
        assert answer.status_code == 409


@pytest.mark.parametrize("act", [
    lambda owner, user: owner.patch(f"/api/team/members/{user.id}", json={"status": "suspended"}),
    lambda owner, user: owner.delete(f"/api/team/members/{user.id}"),
], ids=["suspended", "removed"])
def test_sessions_and_tokens_stop_with_the_next_request(team, owner, act):
    user = team.add("admin")
    browser, program = team.browser(user), team.program(user)
    assert browser.get("/api/team/members").status_code == program.get("/api/team/members").status_code == 200
    assert act(owner, user).status_code in {200, 204}
    assert browser.get("/api/team/members").status_code == program.get("/api/team/members").status_code == 401


def test_a_new_role_holds_for_open_sessions_and_tokens(team, owner):
    user = team.add("admin")
    browser, program = team.browser(user), team.program(user)
    assert browser.get("/api/team/audit").status_code == program.get("/api/team/audit").status_code == 200
    owner.patch(f"/api/team/members/{user.id}", json={"role": "viewer"})
    assert browser.get("/api/team/audit").status_code == program.get("/api/team/audit").status_code == 403
    assert browser.get("/api/auth/me").json["role"] == "viewer"


def test_the_same_holds_where_a_broker_lets_principals_be_kept(broker_app):
    team = Team(broker_app)
    owner, user = team.browser(team.add("owner")), team.add("viewer")
    browser = team.browser(user)
    assert browser.get("/api/team/members").status_code == 200
    owner.patch(f"/api/team/members/{user.id}", json={"status": "suspended"})
    assert browser.get("/api/team/members").status_code == 401


def test_a_token_changes_members_only_with_the_scope_admin(team, owner):
    user, boss = team.add("viewer"), team.add("owner", email="boss@example.com")
    path = f"/api/team/members/{user.id}"
    assert team.program(boss, "read", "write").patch(path, json={"role": "member"}).status_code == 403
    assert team.program(boss, "admin").patch(path, json={"role": "member"}).status_code == 200


def race(app: Any, attempts: list[tuple[Api, str]]) -> list[int]:
    """Let every caller demote somebody at once; return the status codes."""
    codes: list[int] = []
    start = threading.Barrier(len(attempts))

    def demote(caller: Api, target: str) -> None:
        start.wait()
        codes.append(caller.patch(f"/api/team/members/{target}", json={"role": "viewer"}).status_code)
        with app.app_context():
            db.session.remove()

    threads = [threading.Thread(target=demote, args=attempt) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes


def active_owners() -> int:
    db.session.rollback()
    return db.session.query(User).filter_by(role="owner", status="active").count()


def racing_demotions(app: Any, rounds: int) -> None:
    """Let ten owners demote each other at once, again and again."""
    team = Team(app)
    owners = [team.add("owner", email=f"o{number}@example.com") for number in range(10)]
    programs = [team.program(owner) for owner in owners]
    for number in range(rounds):
        with unit_of_work() as session:
            for owner in owners:
                session.merge(owner).role = "owner"
        pairs = [(program, owners[(index + 1 + number) % 10].id) for index, program in enumerate(programs)]
        codes = race(app, pairs)
        assert active_owners() >= 1
        assert set(codes) <= {200, 403, 409}, codes


def test_200_racing_demotions_leave_an_owner(either_app):
    racing_demotions(either_app, 20)


@pytest.mark.slow
def test_1000_racing_demotions_leave_an_owner(either_app):
    racing_demotions(either_app, 100)


def test_a_page_of_members_costs_few_queries(team, owner):
    for number in range(40):
        team.add(email=f"m{number}@example.com")
    with count_queries() as statements:
        assert owner.get("/team/", headers={"X-Ph-Fragment": "rows"}).status_code == 200
    assert len(statements) < 13, statements  # ten of the page, and the badges that other pages show in the menu
