"""Reading the team: members and invitations in keyset pages, and figures about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_

from pilothouse.sdk import LoginSession, User, db, now
from pilothouse_team.models import Invite

Place = tuple[int, str]  # where a row stands in the order of lists: `created_at` (ms) and id


@dataclass(frozen=True, slots=True)
class MemberFilters:
    """Which members; `q` is a part of name or address."""

    role: str | None = None
    status: str | None = None
    q: str | None = None


def members(filters: MemberFilters, limit: int, after: Place | None = None) -> list[User]:
    """Return `limit + 1` members, newest first."""
    statement = select(User).where(*_conditions(filters))
    return list(db.session.scalars(_newest_first(statement, User, limit, after)))


def _conditions(filters: MemberFilters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.role is not None:
        found.append(User.role == filters.role)
    if filters.status is not None:
        found.append(User.status == filters.status)
    if filters.q:
        pattern = f"%{escaped(filters.q.lower())}%"
        found.append(or_(
            func.lower(User.name).like(pattern, escape="\\"), func.lower(User.email).like(pattern, escape="\\")
        ))
    return found


def escaped(text: str) -> str:
    """Return a text in which LIKE finds no wildcard; the escape is a backslash."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def invites(limit: int, after: Place | None = None, *, only_open: bool = False) -> list[Invite]:
    """Return `limit + 1` invitations, newest first."""
    statement = select(Invite).where(Invite.accepted_at.is_(None)) if only_open else select(Invite)
    return list(db.session.scalars(_newest_first(statement, Invite, limit, after)))


def _newest_first(statement: Select[Any], kind: Any, limit: int, after: Place | None) -> Select[Any]:
    if after is not None:
        statement = statement.where(tuple_(kind.created_at, kind.id) < after)
    return statement.order_by(kind.created_at.desc(), kind.id.desc()).limit(limit + 1)


def counts() -> tuple[int, int]:
    """Return how many members there are, invited ones included, and how many open invitations."""
    total = db.session.scalar(select(func.count()).select_from(User)) or 0
    waiting = db.session.scalar(select(func.count()).select_from(Invite).where(Invite.accepted_at.is_(None))) or 0
    return int(total), int(waiting)


def last_owner() -> str | None:
    """Return the id of the only active owner, None where there are more."""
    owners = select(User.id).where(User.role == "owner", User.status == "active").limit(2)
    found = list(db.session.scalars(owners))
    return found[0] if len(found) == 1 else None


def session_counts(user_ids: Iterable[str]) -> dict[str, int]:
    """Return how many sessions that are not over each of the users has."""
    statement = select(LoginSession.user_id, func.count()).where(LoginSession.user_id.in_(list(user_ids)))
    rows = db.session.execute(statement.where(LoginSession.expires_at > now()).group_by(LoginSession.user_id))
    return {user_id: int(number) for user_id, number in rows}
