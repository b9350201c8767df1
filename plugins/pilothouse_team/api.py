"""The HTTP endpoints of members and invitations."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    ApiBlueprint,
    Limit,
    Page,
    User,
    after_commit,
    get_user,
    page_of,
    read_cursor,
    require,
    runtime,
    to_rfc3339,
)
from pilothouse_team import audit_api, invites, members, queries
from pilothouse_team.models import Invite
from pilothouse_team.permissions import ACTIVITY, AUDIT, INVITE, INVITES, MANAGE, PROFILE, VIEW

TOPIC = "team"
Text = Annotated[str, msgspec.Meta(max_length=320)]


class MembersQuery(msgspec.Struct, frozen=True):
    """Filters of the members; `q` is a part of name or address."""

    role: str | None = None
    status: str | None = None
    q: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class InvitesQuery(msgspec.Struct, frozen=True):
    """Which page."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class MemberRecord(msgspec.Struct, frozen=True):
    """A person of the team; `invited` is somebody whose invitation is open."""

    id: str
    email: str
    name: str
    role: str
    status: str
    invited_by: str | None
    joined_at: str | None
    last_active_at: str | None
    created_at: str


class MemberChange(msgspec.Struct, frozen=True):
    """What to change; what is left out stays."""

    role: Text | None = None
    status: Text | None = None
    name: Text | None = None


class InviteRequest(msgspec.Struct, frozen=True):
    """Whom to invite as what."""

    email: Text
    role: Text = "member"


class InviteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation; `invited_by` is the id of who sent it."""

    id: str
    email: str
    role: str
    invited_by: str
    expires_at: str
    accepted: bool
    accepted_at: str | None
    created_at: str


class SentInvite(InviteRecord, frozen=True, kw_only=True):
    """An invitation just sent. `link` is shown this once where there is no mail server, null where the mail carries it."""

    link: str | None


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("team")
    bp.get("/team/members", permission=VIEW)(list_members)
    bp.get("/team/members/<member_id>", permission=VIEW)(show_member)
    bp.patch("/team/members/<member_id>", permission=PROFILE)(change_member)
    bp.delete("/team/members/<member_id>", permission=MANAGE)(remove_member)
    bp.get("/team/invites", permission=INVITES)(list_invites)
    bp.post("/team/invites", permission=INVITE, status=201)(send_invite)
    bp.post("/team/invites/<invite_id>/resend", permission=INVITE)(resend_invite)
    bp.delete("/team/invites/<invite_id>", permission=INVITE)(revoke_invite)
    bp.get("/team/activity", permission=ACTIVITY)(audit_api.list_activity)
    bp.get("/team/audit", permission=AUDIT)(audit_api.list_audit)
    bp.get("/team/audit/export.csv", permission=AUDIT)(audit_api.export)
    return bp


def list_members(query: MembersQuery) -> Page[MemberRecord]:
    """List the members, newest first, with those whose invitation is open."""
    filters = queries.MemberFilters(query.role, query.status, query.q)
    found = queries.members(filters, query.limit, read_cursor(query.cursor) if query.cursor else None)
    rows, cursor = page_of(found, query.limit, lambda row: (row.created_at, row.id))
    return Page([_member(row) for row in rows], cursor)


def show_member(member_id: str) -> MemberRecord:
    """Show one member, also an invited or suspended one; 404 where there is none."""
    return _member(get_user(member_id))


def change_member(member_id: str, body: MemberChange) -> MemberRecord:
    """Change a member's `role`, `status` (`active`, `suspended`) or `name`.

    Everybody may change their own name. Owners manage all, admins members and viewers; nobody raises themselves. 409 where
    no active owner would be left, or where the person has not accepted the invitation yet.
    """
    principal = require(PROFILE)
    if member_id != principal.user_id or body.role is not None or body.status is not None:
        principal = require(MANAGE)
    user = members.change(member_id, principal, role=body.role, status=body.status, name=body.name)
    told()
    return _member(user)


def remove_member(member_id: str) -> None:
    """Remove a member: sessions, tokens and open invitations end with the next request. 409 for the last active owner."""
    members.remove(member_id, require(MANAGE))
    told()


def list_invites(query: InvitesQuery) -> Page[InviteRecord]:
    """List the invitations, newest first, with those that were accepted."""
    found = queries.invites(query.limit, read_cursor(query.cursor) if query.cursor else None)
    rows, cursor = page_of(found, query.limit, lambda row: (row.created_at, row.id))
    return Page([InviteRecord(**_invite(row)) for row in rows], cursor)


def send_invite(body: InviteRequest) -> SentInvite:
    """Invite an address with a role that is not above what one may give oneself.

    The link is valid for 7 days, works once and makes a member of this address. Another invitation to the same address
    takes the place of the first. 409 where a member has the address.
    """
    sent = invites.invite(body.email, body.role, require(INVITE))
    told()
    return SentInvite(**_invite(sent.invite), link=sent.link)


def resend_invite(invite_id: str) -> SentInvite:
    """Send an invitation again, with a new link and 7 more days; the old link ends."""
    sent = invites.resend(invite_id, require(INVITE))
    told()
    return SentInvite(**_invite(sent.invite), link=sent.link)


def revoke_invite(invite_id: str) -> None:
    """Take an invitation back; its link ends at once. 409 where it was accepted."""
    invites.revoke(invite_id, require(INVITE))
    told()


def told() -> None:
    """Let open pages know that the team has changed, once it has."""
    changes = runtime().changes
    after_commit(lambda: changes.bump(TOPIC))


def _member(user: User) -> MemberRecord:
    return MemberRecord(
        user.id, user.email, user.name, user.role, user.status, user.invited_by, _time(user.joined_at),
        _time(user.last_active_at), to_rfc3339(user.created_at),
    )  # fmt: skip


def _invite(row: Invite) -> dict[str, Any]:
    return {
        "id": row.id, "email": row.email, "role": row.role, "invited_by": row.invited_by,
        "expires_at": to_rfc3339(row.expires_at), "accepted": row.accepted_at is not None,
        "accepted_at": _time(row.accepted_at), "created_at": to_rfc3339(row.created_at),
    }  # fmt: skip


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)
