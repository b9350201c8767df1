"""Changing and removing members: what identity allows, told to everybody who listens."""

from __future__ import annotations

from pilothouse.sdk import Conflict, Principal, User, change_user, get_user, proving, publish, remove_user
from pilothouse_team import invites
from pilothouse_team.events import MemberChanged, MemberRemoved


def change(
    member_id: str, by: Principal, *, role: str | None = None, status: str | None = None, name: str | None = None
) -> User:
    """Change a member in the open unit of work; it holds from their next request on.

    Raises NotFound, Invalid, Forbidden where it reaches above `by`, Conflict where no active owner would be left or the
    person has not joined yet.
    """
    if role is not None or status is not None:
        proving.require_proof()
    user = get_user(member_id)
    role_before, status_before = user.role, user.status
    user = change_user(member_id, by=by, role=role, status=status, name=name)
    if status_before == "invited" and user.role != role_before:
        raise Conflict("The role of an invitation stays as it was sent: send another one to the same address.")
    if (user.role, user.status) != (role_before, status_before):
        publish(MemberChanged(
            member_id=user.id, email=user.email, role_before=role_before, role=user.role, status_before=status_before,
            status=user.status, actor_id=by.id, actor=by.name or by.email,
        ))  # fmt: skip
    if user.status == "suspended" != status_before:
        invites.revoke_of(user.id, by)
    return user


def remove(member_id: str, by: Principal) -> None:
    """Remove a member with sessions, tokens and open invitations; of somebody invited, take the invitation back.

    Raises NotFound, Forbidden, Conflict for the last active owner.
    """
    proving.require_proof()
    user = get_user(member_id)
    if user.status == "invited":
        invites.revoke_for(user, by)
        return
    remove_user(member_id, by=by)
    invites.revoke_of(member_id, by)
    publish(MemberRemoved(
        member_id=member_id, email=user.email, role=user.role, actor_id=by.id, actor=by.name or by.email
    ))  # fmt: skip
