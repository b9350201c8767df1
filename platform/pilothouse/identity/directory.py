"""Who there is, as plugins may know it: names for ids, and the active members that something can be given to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from pilothouse.db import db
from pilothouse.identity.models import User

MOST_MEMBERS = 500  # that a list to choose from shows


@dataclass(frozen=True, slots=True)
class Member:
    """A person of the team; `name` is the address where there is no name."""

    id: str
    name: str
    email: str
    active: bool


def find_member(user_id: str) -> Member | None:
    """Return one member by id, also an invited or suspended one."""
    return find_members([user_id]).get(user_id)


def find_members(user_ids: Iterable[str]) -> dict[str, Member]:
    """Return the members with these ids by id; those that are gone are left out."""
    wanted = {user_id for user_id in user_ids if user_id and "\0" not in user_id}
    if not wanted:
        return {}
    return {user.id: _member(user) for user in db.session.scalars(select(User).where(User.id.in_(wanted)))}


def active_members() -> list[Member]:
    """Return the active members by name, at most 500."""
    statement = select(User).where(User.status == "active").order_by(User.name, User.email).limit(MOST_MEMBERS)
    return [_member(user) for user in db.session.scalars(statement)]


def _member(user: User) -> Member:
    return Member(user.id, user.name or user.email, user.email, user.status == "active")
