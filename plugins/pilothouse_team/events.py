"""What happened to the team: the plugin's only public module. `actor` is how people know who did it."""

from __future__ import annotations

from pilothouse.sdk import Event


class MemberInvited(Event, frozen=True, kw_only=True):
    """Somebody was invited."""

    invite_id: str
    email: str
    role: str
    actor_id: str
    actor: str

    @classmethod
    def name(cls) -> str:
        """Return `team.member_invited`."""
        return "team.member_invited"


class MemberJoined(Event, frozen=True, kw_only=True):
    """Somebody accepted an invitation; `invited_by` is the id of who had sent it."""

    member_id: str
    email: str
    role: str
    invited_by: str

    @classmethod
    def name(cls) -> str:
        """Return `team.member_joined`."""
        return "team.member_joined"


class MemberChanged(Event, frozen=True, kw_only=True):
    """A member has another role or status."""

    member_id: str
    email: str
    role_before: str
    role: str
    status_before: str
    status: str
    actor_id: str
    actor: str

    @classmethod
    def name(cls) -> str:
        """Return `team.member_changed`."""
        return "team.member_changed"


class MemberRemoved(Event, frozen=True, kw_only=True):
    """A member was removed."""

    member_id: str
    email: str
    role: str
    actor_id: str
    actor: str

    @classmethod
    def name(cls) -> str:
        """Return `team.member_removed`."""
        return "team.member_removed"


EVENTS: tuple[type[Event], ...] = (MemberInvited, MemberJoined, MemberChanged, MemberRemoved)
