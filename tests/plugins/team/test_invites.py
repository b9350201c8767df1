"""Invitations: sent, mailed or shown once, accepted once, sent again, taken back."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import Any

import pytest
from tests.plugins.team.conftest import LOCAL, Team

from pilothouse.access import ROLES
from pilothouse.clock import DAY, SECOND
from pilothouse.db import db
from pilothouse.identity.models import LoginSession, User
from pilothouse.plugins import switches
from pilothouse_team import invites
from pilothouse_team.models import Invite

FIELDS = {"id", "email", "role", "invited_by", "expires_at", "accepted", "created_at"}


def only_invite(owner: Any) -> dict[str, Any]:
    (row,) = owner.get("/api/team/invites").json["data"]
    return dict(row)


def test_an_invitation_has_the_fields_of_the_contract(owner, invited):
    invited()
    row = only_invite(owner)
    assert row.keys() >= FIELDS
    assert (row["email"], row["role"], row["accepted"]) == ("new@example.com", "member", False)
    assert row["invited_by"] == owner.get("/api/auth/me").json["user"]["id"]


def test_the_link_is_shown_once_and_never_listed(owner, invited):
    token = invited().removeprefix("/invite/")
    assert token not in owner.get("/api/team/invites").text
    assert "link" not in only_invite(owner)


def test_the_database_holds_only_the_hash(app, invited, tmp_path):
    token = invited().removeprefix("/invite/")
    db.session.remove()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert not any(token.encode() in path.read_bytes() for path in files)


def test_an_answer_that_is_kept_for_its_key_betrays_no_link_either(app, owner, tmp_path):
    body, key = {"email": "new@example.com", "role": "member"}, {"Idempotency-Key": "k1"}
    first = owner.post("/api/team/invites", json=body, headers=key).json["link"]
    assert owner.post("/api/team/invites", json=body, headers=key).json["link"] == first
    db.session.remove()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert not any(first.removeprefix(f"{LOCAL}/invite/").encode() in path.read_bytes() for path in files)


def test_the_invited_person_is_a_member_in_waiting(owner, invited):
    invited()
    (row,) = owner.get("/api/team/members?status=invited").json["data"]
    assert (row["email"], row["role"], row["joined_at"], row["last_active_at"]) == ("new@example.com", "member", None, None)


def test_accepting_makes_the_member_and_signs_in(app, owner, invited):
    link, browser = invited(role="admin"), app.test_client()
    answer = browser.post(link, data={"name": "Grace Hopper"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    me = browser.get("/api/auth/me").json
    assert (me["role"], me["user"]["name"], me["user"]["status"]) == ("admin", "Grace Hopper", "active")
    assert only_invite(owner)["accepted"]


def test_looking_never_spends_the_link(client, invited):
    link = invited()
    for _ in range(3):
        page = client.get(link)
        assert page.status_code == 200
        assert "new@example.com" in page.text
        assert "Set-Cookie" not in page.headers
    assert client.head(link).status_code == 200
    assert client.post(link).status_code == 303


def test_a_link_works_once_and_says_so_then(app, invited):
    link = invited()
    app.test_client().post(link)
    for answer in (app.test_client().post(link), app.test_client().get(link)):
        assert answer.status_code == 410
        assert "was accepted" in answer.text


def test_after_seven_days_it_has_expired(time_of_day, client, owner, invited):
    link = invited()
    time_of_day.pass_by(7 * DAY - SECOND)
    assert client.get(link).status_code == 200
    time_of_day.pass_by(2 * SECOND)
    for answer in (client.get(link), client.post(link)):
        assert answer.status_code == 410
        assert "has expired" in answer.text
    assert only_invite(owner)["accepted"] is False


@pytest.mark.parametrize("token", ["x", "ph_invite_" + "a" * 49, "%00", "ph_login_" + "a" * 49])
def test_an_unknown_link_says_so(client, token):
    for answer in (client.get(f"/invite/{token}"), client.post(f"/invite/{token}")):
        assert answer.status_code == 404
        assert "is not known" in answer.text


def test_sending_again_makes_a_new_link_and_ends_the_old_one(client, owner, invited, time_of_day):
    old = invited()
    before = only_invite(owner)
    time_of_day.pass_by(6 * DAY)
    answer = owner.post(f"/api/team/invites/{before['id']}/resend")
    assert (answer.status_code, answer.json["id"]) == (200, before["id"])
    assert answer.json["expires_at"] > before["expires_at"]
    assert client.post(old).status_code == 404
    assert client.post(answer.json["link"].removeprefix(LOCAL)).status_code == 303


def test_an_expired_invitation_can_be_sent_again(client, owner, invited, time_of_day):
    invited()
    time_of_day.pass_by(8 * DAY)
    answer = owner.post(f"/api/team/invites/{only_invite(owner)['id']}/resend")
    assert client.post(answer.json["link"].removeprefix(LOCAL)).status_code == 303


def test_taking_it_back_ends_the_link_and_frees_the_address(client, owner, invited):
    link = invited()
    assert owner.delete(f"/api/team/invites/{only_invite(owner)['id']}").status_code == 204
    assert client.post(link).status_code == 404
    assert owner.get("/api/team/invites").json["data"] == []
    assert owner.get("/api/team/members?q=new@").json["data"] == []


def test_removing_an_invited_person_takes_the_invitation_back(client, owner, invited):
    link = invited()
    person = owner.get("/api/team/members?status=invited").json["data"][0]["id"]
    assert owner.delete(f"/api/team/members/{person}").status_code == 204
    assert client.post(link).status_code == 404
    assert owner.get("/api/team/invites").json["data"] == []


def test_an_accepted_invitation_is_neither_sent_again_nor_taken_back(client, owner, invited):
    client.post(invited())
    path = f"/api/team/invites/{only_invite(owner)['id']}"
    assert owner.post(f"{path}/resend").status_code == owner.delete(path).status_code == 409


def test_an_invitation_that_is_not_there_is_not_found(owner):
    assert owner.post("/api/team/invites/none/resend").status_code == 404
    assert owner.delete("/api/team/invites/none").status_code == 404


def test_a_member_is_not_invited_again(owner, team):
    team.add("viewer", email="there@example.com")
    team.add("viewer", email="asleep@example.com", status="suspended")
    for email in ("There@example.com", "asleep@example.com"):
        assert owner.post("/api/team/invites", json={"email": email, "role": "viewer"}).status_code == 409


def test_a_second_invitation_takes_the_place_of_the_first(client, owner, invited):
    first, second = invited(role="member"), invited(" NEW@example.com ", "viewer")
    assert client.post(first).status_code == 404
    assert only_invite(owner)["role"] == "viewer"
    client.post(second)
    assert client.get("/api/auth/me").json["role"] == "viewer"


@pytest.mark.parametrize("by", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_the_role_is_bounded_by_the_inviters(team, owner, by, role):
    browser = team.browser(team.add(by, email="by@example.com"))
    answer = browser.post("/api/team/invites", json={"email": "new@example.com", "role": role})
    allowed = by == "owner" or (by == "admin" and role in {"member", "viewer"})
    assert answer.status_code == (201 if allowed else 403)


def test_an_admin_does_not_touch_what_an_owner_sent_above_them(admin, invited, owner):
    link = invited(role="admin")
    path = f"/api/team/invites/{only_invite(owner)['id']}"
    assert admin.post(f"{path}/resend").status_code == admin.delete(path).status_code == 403
    assert admin.post("/api/team/invites", json={"email": "new@example.com", "role": "viewer"}).status_code == 403
    assert admin.get(link).status_code == 200


def test_the_role_stays_as_it_was_sent(client, team, owner):
    sender = team.add("admin")
    link = team.browser(sender).post("/api/team/invites", json={"email": "new@example.com", "role": "member"}).json["link"]
    owner.patch(f"/api/team/members/{sender.id}", json={"role": "viewer"})
    client.post(link.removeprefix(LOCAL))
    assert client.get("/api/auth/me").json["role"] == "member"


def test_an_invited_persons_role_is_not_changed_beside_the_invitation(owner, invited):
    invited()
    person = owner.get("/api/team/members?status=invited").json["data"][0]["id"]
    for body in ({"role": "viewer"}, {"status": "active"}):
        assert owner.patch(f"/api/team/members/{person}", json=body).status_code == 409


@pytest.mark.parametrize("end", ["suspended", "removed"])
def test_invitations_end_with_who_sent_them(client, team, owner, end):
    sender = team.add("admin")
    link = team.browser(sender).post("/api/team/invites", json={"email": "new@example.com", "role": "member"}).json["link"]
    if end == "removed":
        owner.delete(f"/api/team/members/{sender.id}")
    else:
        owner.patch(f"/api/team/members/{sender.id}", json={"status": "suspended"})
    assert client.post(link.removeprefix(LOCAL)).status_code == 404
    assert owner.get("/api/team/invites").json["data"] == []


@pytest.mark.parametrize("body", [
    {"email": "no address", "role": "viewer"}, {"email": "a@b\r\nBcc: c@d", "role": "viewer"}, {"email": "", "role": "viewer"},
    {"email": "new@example.com", "role": "king"}, {"role": "viewer"}, {"email": 7, "role": "viewer"},
])
def test_wrong_invitations_are_refused(owner, body):
    answer = owner.post("/api/team/invites", json=body)
    assert answer.status_code == 422
    assert owner.get("/api/team/invites").json["data"] == []


def test_a_name_that_is_none_is_asked_for_again_and_spends_nothing(client, invited):
    link = invited()
    answer = client.post(link, data={"name": "a\u0007"})
    assert answer.status_code == 422
    assert "printable" in answer.text
    assert client.post(link, data={"name": ""}).status_code == 303


def test_an_invited_person_does_not_sign_in_by_magic_link(owner, invited, mailbox):
    invited()
    before = len(mailbox())
    owner.post("/api/auth/magic-link", json={"email": "new@example.com"})
    assert len(mailbox()) == before


def test_who_is_signed_in_already_changes_hands(app, owner, invited):
    link = invited()
    assert "You are signed in as owner@example.com" in owner.get(link).text
    old = owner.get_cookie("pilothouse_session").value
    assert owner.post(link, headers={"X-CSRF-Token": ""}).status_code == 303
    assert owner.get("/api/auth/me").json["user"]["email"] == "new@example.com"
    other = app.test_client()
    other.set_cookie("pilothouse_session", old)
    assert other.get("/api/auth/me").status_code == 401


def test_another_sites_page_cannot_accept(client, invited):
    link = invited()
    assert client.post(link, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(link, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post(link).status_code == 303


def accept_at_once(app: Any, link: str, times: int) -> Counter[int]:
    """Use a link in many browsers at the same time."""
    codes: list[int] = []
    start = threading.Barrier(times)

    def use() -> None:
        browser = app.test_client()
        start.wait()
        codes.append(browser.post(link).status_code)

    threads = [threading.Thread(target=use) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(codes)


def test_fifty_uses_at_once_make_one_session(either_app):
    owner = Team(either_app).browser(Team(either_app).add("owner"))
    link = owner.post("/api/team/invites", json={"email": "new@example.com", "role": "member"}).json["link"]
    assert accept_at_once(either_app, link.removeprefix(LOCAL), 50) == {303: 1, 410: 49}
    user = db.session.query(User).filter_by(email="new@example.com").one()
    assert db.session.query(LoginSession).filter_by(user_id=user.id).count() == 1


def test_writers_that_wait_for_each_other_wait_for_no_second_connection(either_app, monkeypatch):
    """More of them than the pool has connections, each with a reason to look at the plugins' switches again."""
    monkeypatch.setattr(switches, "KEPT", 20)
    owner = Team(either_app).browser(Team(either_app).add("owner"))
    link = owner.post("/api/team/invites", json={"email": "new@example.com", "role": "member"}).json["link"]
    assert accept_at_once(either_app, link.removeprefix(LOCAL), 50) == {303: 1, 410: 49}


def test_the_mail_lies_in_the_outbox_with_the_same_link(client, invited, mailbox):
    link = invited()
    (mail,) = (mail for mail in mailbox() if mail["To"] == "new@example.com")
    assert mail["Subject"] == "You are invited to Pilothouse"
    for kind in ("plain", "html"):
        assert LOCAL + link in mail.get_body((kind,)).get_content()
    assert client.post(link).status_code == 303


def test_a_full_disk_under_the_outbox_keeps_nobody_out(app, client, owner, invited, tmp_path):
    (tmp_path / "outbox").write_text("a file where the folder should be")
    assert client.post(invited()).status_code == 303


def link_in(mail: Any) -> str:
    return str(re.search(r"/invite/ph_invite_\w+", mail.get_body(("plain",)).get_content())[0])  # type: ignore[index]


def test_with_a_mail_server_the_worker_makes_the_token_and_nobody_is_shown_it(mailing_app, received, work):
    owner = Team(mailing_app).browser(Team(mailing_app).add("owner", name="Ada"))
    answer = owner.post("/api/team/invites", json={"email": "new@example.com", "role": "viewer"})
    assert answer.json["link"] is None
    assert db.session.get(Invite, answer.json["id"]).token_hash is None
    work()
    (mail,) = received()
    assert "Ada invites you to Pilothouse as viewer" in mail.get_body(("plain",)).get_content()
    assert mailing_app.test_client().post(link_in(mail)).status_code == 303


def test_sending_again_by_mail_ends_the_first_link_at_once(mailing_app, received, work):
    owner = Team(mailing_app).browser(Team(mailing_app).add("owner"))
    sent = owner.post("/api/team/invites", json={"email": "new@example.com", "role": "viewer"}).json
    work()
    owner.post(f"/api/team/invites/{sent['id']}/resend")
    first = link_in(received()[0])
    assert mailing_app.test_client().get(first).status_code == 404
    work()
    assert mailing_app.test_client().post(link_in(received()[1])).status_code == 303


def test_nothing_is_mailed_once_it_was_taken_back(mailing_app, received, work):
    owner = Team(mailing_app).browser(Team(mailing_app).add("owner"))
    sent = owner.post("/api/team/invites", json={"email": "new@example.com", "role": "viewer"}).json
    owner.delete(f"/api/team/invites/{sent['id']}")
    work()
    assert received() == []


def test_a_repeated_run_of_the_task_mails_a_link_that_works(mailing_app, received, work):
    owner = Team(mailing_app).browser(Team(mailing_app).add("owner"))
    sent = owner.post("/api/team/invites", json={"email": "new@example.com", "role": "viewer"}).json
    work()
    invites.send(sent["id"])
    assert mailing_app.test_client().post(link_in(received()[-1])).status_code == 303
    invites.send(sent["id"])
    assert len(received()) == 2
