"""The directory: what plugins may know of people."""

from __future__ import annotations

from pilothouse.identity.directory import active_members, find_member, find_members


def test_a_member_is_known_by_name_or_else_by_address(people, context):
    named, nameless = people.add("admin", name="Ada Lovelace"), people.add("viewer")
    found = find_members([named.id, nameless.id, "nobody", "", "\0"])
    assert {member.name for member in found.values()} == {"Ada Lovelace", "viewer@example.com"}
    assert found.keys() == {named.id, nameless.id}


def test_a_suspended_member_is_still_known_and_not_among_the_active(people, context):
    gone, here = people.add("viewer", status="suspended"), people.add("member")
    assert find_member(gone.id).active is False
    assert [member.id for member in active_members()] == [here.id]


def test_nobody_is_found_for_nothing(context):
    assert find_members([]) == {}
    assert find_member("nobody") is None
