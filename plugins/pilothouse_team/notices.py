"""What people are told about the team."""

from __future__ import annotations

from pilothouse.sdk import Notice, NotificationCategory
from pilothouse_team.events import MemberChanged, MemberInvited, MemberJoined, MemberRemoved

PAGE, LABEL = "/team/", "Open the team"


def invited(event: MemberInvited) -> Notice:
    """Tell of an invitation. The link leads to the members: not everybody who is told may open the invitations."""
    return Notice(
        f"{event.email} was invited", f"{event.actor} invited them as {event.role}.", action_url=PAGE,
        action_label=LABEL, fold_key=f"team:{event.email}:invited",
    )  # fmt: skip


def joined(event: MemberJoined) -> Notice:
    """Tell of a new member."""
    return Notice(
        f"{event.email} joined the team", f"They accepted the invitation and are {event.role} now.", "success",
        action_url=PAGE, action_label=LABEL, fold_key=f"team:{event.member_id}:joined",
    )  # fmt: skip


def changed(event: MemberChanged) -> Notice:
    """Tell of another role or status."""
    if event.status != event.status_before:
        title = f"{event.email} was suspended" if event.status == "suspended" else f"{event.email} may sign in again"
        message = f"{event.actor} did this."
    else:
        title = f"{event.email} is {event.role} now"
        message = f"{event.actor} changed the role from {event.role_before}."
    return Notice(title, message, "warning", PAGE, LABEL, f"team:{event.member_id}:changed")


def removed(event: MemberRemoved) -> Notice:
    """Tell of a member who is gone."""
    message = f"{event.actor} removed them; their sessions and tokens have ended."
    return Notice(f"{event.email} was removed", message, "warning", PAGE, LABEL, f"team:{event.member_id}:removed")


CATEGORIES = (
    NotificationCategory("team.invited", "Invitations", "team", MemberInvited, invited),
    NotificationCategory("team.joined", "New members", "team", MemberJoined, joined),
    NotificationCategory("team.changed", "Changed members", "team", MemberChanged, changed),
    NotificationCategory("team.removed", "Removed members", "team", MemberRemoved, removed),
)
