"""What the team tells other plugins, and the words in which people are told."""

from __future__ import annotations

import pytest

from pilothouse.runtime import runtime
from pilothouse_team import notices
from pilothouse_team.events import EVENTS, MemberChanged, MemberInvited, MemberJoined, MemberRemoved
from pilothouse_team.phrases import facts, phrase, subject

INVITED = MemberInvited(invite_id="i", email="a@b.c", role="viewer", actor_id="u", actor="Grace")
JOINED = MemberJoined(member_id="u", email="a@b.c", role="viewer", invited_by="o")
REMOVED = MemberRemoved(member_id="u", email="a@b.c", role="viewer", actor_id="o", actor="Grace")


def changed(**fields: str) -> MemberChanged:
    known = {"role_before": "viewer", "role": "viewer", "status_before": "active", "status": "active"}
    return MemberChanged(member_id="u1", email="ada@example.com", actor_id="u2", actor="Grace", **{**known, **fields})


@pytest.mark.parametrize(("notice", "title", "word"), [
    (notices.invited(INVITED), "a@b.c was invited", "Grace"), (notices.joined(JOINED), "a@b.c joined the team", "viewer"),
    (notices.changed(changed(role="admin")), "ada@example.com is admin now", "from viewer"),
    (notices.changed(changed(status="suspended")), "ada@example.com was suspended", "Grace"),
    (notices.changed(changed(status_before="suspended")), "ada@example.com may sign in again", "Grace"),
    (notices.removed(REMOVED), "a@b.c was removed", "Grace"),
])
def test_people_are_told_what_happened_and_who_did_it(notice, title, word):
    assert notice.title == title
    assert word in notice.message
    assert notice.action_url.startswith("/team/")


def test_every_event_has_a_category_in_the_group_team(app):
    categories = [c for plugin, c in runtime().registry.all("notification_categories") if plugin == "team"]
    assert {category.event for category in categories} == set(EVENTS)
    assert {category.group for category in categories} == {"team"}
    assert all(category.on_by_default for category in categories)


@pytest.mark.parametrize(("action", "words"), [("identity.signed_in", "signed in"), ("error.resolved", "error resolved")])
def test_actions_are_put_into_words(action, words):
    assert phrase(action) == words


@pytest.mark.parametrize(("detail", "words"), [
    ({"from": {"role": "viewer"}, "to": {"role": "admin"}}, "role: viewer → admin"),
    ({"from": {"name": ""}, "to": {"name": "Ada"}}, "name: – → Ada"),
    ({"folded_before": 3, "reason": ""}, "folded before: 3"), ({}, ""),
    ({"changes": {"status": ["open", "resolved"], "assignee": [None, "ada"]}}, "changes: status: open → resolved, assignee: – → ada"),
    ({"scopes": ["read", "write"]}, "scopes: read, write"),
])
def test_details_are_put_into_one_line(detail, words):
    assert facts(detail) == words


class Entry:
    def __init__(self, target: str) -> None:
        self.target = target


@pytest.mark.parametrize(("target", "detail", "words"), [
    ("u1", {"email": "a@b.c"}, "a@b.c"), ("t1", {"name": "nightly"}, "nightly"), ("error:1", {}, "error:1"), ("", {}, ""),
    ("01a21a48-c689-73ae-a146-781b222dd815", {}, "…781b222dd815"), ("GET /api/team/audit of somebody else's team", {}, None),
])
def test_subjects_are_named_as_people_know_them(target, detail, words):
    assert subject(Entry(target), {}, detail) == (target if words is None else words)
