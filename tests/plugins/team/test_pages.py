"""The pages of the team: what each role sees, what the forms do, and what is never shown twice."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from markupsafe import escape

from pilothouse.access import ROLES
from pilothouse.runtime import runtime
from pilothouse_team.sending import addresses

ADMINS = ("owner", "admin")
TABS = {"members": ROLES, "invites": ADMINS, "activity": ADMINS, "audit": ADMINS, "roles": ROLES}
ASYNC = {"X-Ph-Async": "1"}


def links(page: Any) -> list[str]:
    return sorted(set(re.findall(r"http://localhost(/invite/ph_invite_\w+)", page.text)))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("tab", TABS)
def test_each_tab_opens_for_its_roles_only(team, owner, role, tab):
    page = team.browser(team.add(role, email="reader@example.com")).get(f"/team/?tab={tab}")
    assert page.status_code == (200 if role in TABS[tab] else 403)
    if role in TABS[tab]:
        assert ("Audit log" in page.text) == ('data-open="invite"' in page.text) == (role in ADMINS)


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/team/members/{id}"), ("POST", "/team/members/{id}/remove"), ("GET", "/team/invite"), ("POST", "/team/invite"),
    ("POST", "/team/invites/{id}/resend"), ("POST", "/team/invites/{id}/revoke"),
])
@pytest.mark.parametrize("role", ["member", "viewer"])
def test_acts_are_refused_to_members_and_viewers(team, owner, role, method, path):
    browser = team.browser(team.add(role))
    assert browser.open(path.replace("{id}", "x"), method=method).status_code == 403


@pytest.mark.parametrize("path", ["/team/", "/team/invite", "/team/sessions/"])
def test_nobody_is_led_to_the_sign_in_page(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"].startswith("/login?next=")) == (303, True)


def test_names_from_outside_are_shown_as_text(team, owner):
    team.add("viewer", name="<script>alert(1)</script>")
    page = owner.get("/team/").text
    assert "<script>alert(1)" not in page
    assert str(escape("<script>alert(1)</script>")) in page


def test_a_role_is_changed_by_its_select_and_taken_back(team, owner):
    user = team.add("viewer")
    answer = owner.post(f"/team/members/{user.id}", data={"role": "member"}, headers=ASYNC).json
    assert answer["toast"]["title"] == "Viewer Person is member now"
    undo = answer["toast"]["undo"]
    owner.post(undo["url"], data=undo["fields"], headers=ASYNC)
    assert owner.get(f"/api/team/members/{user.id}").json["role"] == "viewer"


def test_suspending_is_taken_back(team, owner):
    user = team.add("viewer")
    undo = owner.post(f"/team/members/{user.id}", data={"status": "suspended"}, headers=ASYNC).json["toast"]["undo"]
    assert owner.get(f"/api/team/members/{user.id}").json["status"] == "suspended"
    owner.post(undo["url"], data=undo["fields"], headers=ASYNC)
    assert owner.get(f"/api/team/members/{user.id}").json["status"] == "active"


def test_a_member_is_removed(team, owner):
    user = team.add("viewer")
    assert owner.post(f"/team/members/{user.id}/remove").status_code == 303
    assert owner.get(f"/api/team/members/{user.id}").status_code == 404


def test_the_last_owner_has_no_select(team, owner):
    assert "Role of Owner Person" not in owner.get("/team/").text
    team.add("owner", email="second@example.com", name="Second")
    assert "Role of Owner Person" in owner.get("/team/").text


def test_an_admin_is_offered_roles_below_their_own(team, admin):
    team.add("viewer")
    page = admin.get("/team/").text
    assert set(re.findall(r'<option value="(\w+)"', page)) == {"member", "viewer"}
    assert "Role of Owner Person" not in page


def test_a_poll_gets_the_rows_alone(team, owner):
    team.add("viewer")
    rows = owner.get("/team/", headers={"X-Ph-Fragment": "rows"}).text
    assert "<tr data-k=" in rows
    assert "<html" not in rows


def test_a_poll_costs_no_row_while_nothing_changed(broker_app):
    from tests.plugins.team.conftest import Team

    team = Team(broker_app)
    browser, user = team.browser(team.add("owner")), team.add("viewer")
    poll = {"X-Ph-Fragment": "rows"}
    answer = browser.get("/team/", headers=poll)
    for _ in range(3):  # the clock of 30 s may turn over in between
        tag = answer.headers["ETag"]
        answer = browser.get("/team/", headers={**poll, "If-None-Match": tag})
        if answer.status_code == 304:
            break
    assert answer.status_code == 304
    browser.patch(f"/api/team/members/{user.id}", json={"role": "member"})
    assert browser.get("/team/", headers={**poll, "If-None-Match": tag}).status_code == 200


def test_several_people_are_invited_and_each_is_told_apart(team, owner, app):
    team.add("viewer", email="there@example.com")
    text = "Ada Moreau <ada@example.com>, there@example.com; nonsense\nGRACE@example.com ada@example.com"
    page = owner.post("/team/invite", data={"emails": text, "role": "member"})
    assert page.status_code == 201
    assert page.headers["Cache-Control"] == "no-store"
    assert len(links(page)) == 2
    assert "is a member already" in page.text
    assert "must be an e-mail address" in page.text
    assert all(app.test_client().post(link).status_code == 303 for link in links(page))


def test_no_later_page_shows_a_link(owner):
    owner.post("/team/invite", data={"emails": "new@example.com", "role": "member"})
    assert links(owner.get("/team/?tab=invites")) == []
    assert "new@example.com" in owner.get("/team/?tab=invites").text


@pytest.mark.parametrize(("emails", "role", "problem"), [
    (" ,; ", "member", "Name 1 to 100 addresses."), (" ".join(f"a{n}@b.c" for n in range(101)), "member", "Name 1 to 100"),
    ("a@b.c", "king", "role: must be one of owner"), ("a@b.c", "", "role: must be one of owner"),
])
def test_a_wrong_form_comes_back_with_what_was_typed(owner, emails, role, problem):
    page = owner.post("/team/invite", data={"emails": emails, "role": role})
    assert page.status_code == 422
    assert problem in page.text
    assert f">{emails}</textarea>" in page.text
    assert owner.get("/api/team/invites").json["data"] == []


@pytest.mark.parametrize(("text", "found"), [
    ("a@b.c", ["a@b.c"]), ("a@b.c,d@e.f;g@h.i\nj@k.l m@n.o", ["a@b.c", "d@e.f", "g@h.i", "j@k.l", "m@n.o"]),
    ("Ada Moreau <a@b.c>, Grace <d@e.f>", ["a@b.c", "d@e.f"]), ("a@b.c a@b.c", ["a@b.c"]),
    ("bob, a@b.c", ["bob", "a@b.c"]), ("", []),
])
def test_addresses_are_read_as_people_paste_them(text, found):
    assert addresses(text) == found


def test_a_new_link_is_made_and_the_invitation_taken_back(client, owner, invited):
    old = invited()
    key = owner.get("/api/team/invites").json["data"][0]["id"]
    page = owner.post(f"/team/invites/{key}/resend")
    (link,) = links(page)
    assert (client.get(old).status_code, client.get(link).status_code) == (404, 200)
    owner.post(f"/team/invites/{key}/revoke")
    assert client.get(link).status_code == 404


def test_with_a_mail_server_nothing_is_to_be_copied(mailing_app):
    from tests.plugins.team.conftest import Team

    owner = Team(mailing_app).browser(Team(mailing_app).add("owner"))
    page = owner.post("/team/invite", data={"emails": "new@example.com", "role": "member"})
    assert links(page) == []
    assert "The mail is on its way" in page.text
    key = owner.get("/api/team/invites").json["data"][0]["id"]
    assert owner.post(f"/team/invites/{key}/resend").status_code == 303


def test_the_roles_page_names_every_permission(owner):
    page = owner.get("/team/?tab=roles").text
    permissions = runtime().registry.permissions.values()
    assert [p.name for p in permissions if p.name not in page or str(escape(p.title)) not in page] == []


def test_the_audit_page_filters_and_offers_the_same_as_csv(team, owner):
    user = team.add("viewer")
    owner.patch(f"/api/team/members/{user.id}", json={"role": "member"})
    page = owner.get("/team/?tab=audit&action=identity.user_changed").text
    assert "role: viewer → member" in page
    assert '<span class="mono">identity.signed_in' not in page
    assert "/api/team/audit/export.csv?action=identity.user_changed" in page


def test_the_activity_page_speaks_in_words(team, owner, invited):
    invited("new@example.com")
    page = owner.get("/team/?tab=activity").text
    assert "sent an invitation" in page
    assert "signed in" in page


@pytest.mark.parametrize("query", ["since=x", "range=3y", "limit=0"])
def test_an_old_link_with_wrong_filters_still_opens(owner, query):
    assert owner.get(f"/team/?tab=audit&{query}").status_code == 200


def test_the_palette_finds_members(team, owner):
    team.add("viewer", name="Grace Hopper", email="grace@example.com")
    groups = owner.get("/-/palette?q=hopp").json
    (hit,) = next(group["hits"] for group in groups if group["title"] == "Members")
    assert (hit["title"], hit["url"]) == ("Grace Hopper", "/team/?q=grace%40example.com")


@pytest.mark.parametrize("role", ROLES)
def test_everybody_reaches_their_account_from_their_menu(team, owner, role):
    page = team.browser(team.add(role, email="reader@example.com")).get("/team/").text
    assert 'href="/team/sessions/"' in page[page.index('class="menu me"'):]


def test_ones_own_sessions_are_listed_and_ended(team):
    user = team.add("viewer")
    here, there = team.browser(user), team.browser(user, "Safari on iPhone")
    page = here.get("/team/sessions/").text
    assert "Safari on iPhone" in page
    assert page.count("This one") == 1
    other = next(row["id"] for row in here.get("/api/auth/sessions").json["data"] if not row["current"])
    assert here.post(f"/team/sessions/{other}/end").status_code == 303
    assert (here.get("/api/auth/me").status_code, there.get("/api/auth/me").status_code) == (200, 401)


def test_all_other_sessions_are_ended_at_once(team):
    user = team.add("viewer")
    here, *others = (team.browser(user) for _ in range(4))
    stranger = team.browser(team.add("member"))
    answer = here.post("/team/sessions/end-others", headers=ASYNC)
    assert answer.json["toast"]["title"] == "Signed out of 3 other browsers"
    assert [one.get("/api/auth/me").status_code for one in (here, *others, stranger)] == [200, 401, 401, 401, 200]


def test_ending_this_session_leads_to_the_sign_in_page(team):
    here = team.browser(team.add("viewer"))
    current = here.get("/api/auth/sessions").json["data"][0]["id"]
    assert here.post(f"/team/sessions/{current}/end").headers["Location"] == "/login"
    assert here.get("/api/auth/me").status_code == 401


def test_anothers_session_is_not_found(team):
    here, there = team.browser(team.add("owner")), team.browser(team.add("viewer"))
    other = there.get("/api/auth/sessions").json["data"][0]["id"]
    assert here.post(f"/team/sessions/{other}/end").status_code == 404


def test_ones_name_is_changed_on_the_account_page(team):
    here = team.browser(team.add("viewer"))
    assert here.post("/team/sessions/name", data={"name": "Grace"}).status_code == 303
    assert here.get("/api/auth/me").json["user"]["name"] == "Grace"


def test_a_form_without_its_token_is_refused(team, owner):
    user = team.add("viewer")
    headers = {"X-CSRF-Token": "", "Accept": "application/json"}
    answer = owner.post(f"/team/members/{user.id}", data={"role": "owner"}, headers=headers)
    assert answer.status_code == 403
    assert json.loads(answer.text)["type"].endswith("csrf")
