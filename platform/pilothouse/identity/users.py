"""Users: who there is, with which role and status; at least one active owner, always."""

from __future__ import annotations

import re
from typing import cast

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from pilothouse import audit, clock
from pilothouse.access import ROLES, Principal, Role, outranks
from pilothouse.db import db
from pilothouse.errors import Conflict, Forbidden, Invalid, NotFound
from pilothouse.identity.changes import identity_changed
from pilothouse.identity.models import User
from pilothouse.identity.sessions import end_sessions_of

# What mail servers take, roughly: something, one @, a host; the mail itself is the proof. 254 is RFC 5321's limit.
EMAIL = r"[^@\s\x00-\x1f\x7f\"(),:;<>\[\]\\]{1,64}@[^@\s\x00-\x1f\x7f\"(),:;<>\[\]\\]{1,189}"
NAME_CHARS = 255
STATUSES = ("active", "suspended")


def normalise_email(text: str) -> str:
    """Return an address in the form in which it is stored. Raises Invalid where it is none."""
    email = text.strip().lower()
    if re.fullmatch(EMAIL, email) is None or not email.isprintable():
        raise Invalid.field("email", "must be an e-mail address")
    return email


def find_user(email: str) -> User | None:
    """Return the user with a normalised address."""
    return db.session.scalar(select(User).where(User.email == email))


def get_user(user_id: str) -> User:
    """Return a user. Raises NotFound."""
    user = db.session.get(User, user_id, populate_existing=True)
    if user is None:
        raise NotFound("There is no such member.")
    return user


def any_user() -> bool:
    """Say whether there is any user at all."""
    return db.session.scalar(select(User.id).limit(1)) is not None


def add_user(
    email: str, role: Role, *, name: str = "", status: str = "active", invited_by: Principal | None = None
) -> User:
    """Add a user in the open unit of work. Raises Invalid, Conflict where the address is taken, Forbidden."""
    email = normalise_email(email)
    if invited_by is not None:
        check_may_manage(invited_by, role)
    if find_user(email) is not None:
        raise Conflict("There is a member with this address already.")
    at = clock.now()
    user = User(
        id=clock.new_id(), email=email, name=checked_name(name), role=role, status=status,
        invited_by=invited_by.user_id if invited_by else None,
        joined_at=at if status == "active" else None, created_at=at,
    )
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError as fault:  # on PostgreSQL another writer may have been between the look and the insert
        raise Conflict("There is a member with this address already.") from fault
    audit.record("identity.user_added", user.id, principal=invited_by, detail={"email": email, "role": role})
    return user


def checked_name(name: str) -> str:
    """Return a person's name without spaces around it. Raises Invalid."""
    name = name.strip()
    if len(name) > NAME_CHARS or not name.isprintable():
        raise Invalid.field("name", f"must be at most {NAME_CHARS} printable characters")
    return name


def check_may_manage(by: Principal, role: Role) -> None:
    """Refuse what reaches above: owners manage everyone, admins those below admin. Raises Forbidden."""
    if by.role != "owner" and not outranks(by.role, role):
        raise Forbidden(f"A {by.role} manages only roles below {by.role}.")


def change_user(
    user_id: str, *, by: Principal, role: str | None = None, status: str | None = None, name: str | None = None
) -> User:
    """Change a user in the open unit of work; it holds from the next request on.

    Raises NotFound, Invalid, Forbidden where it reaches above `by`, Conflict where no active owner would be left or an
    invited user would be made active by something else than the invitation.
    """
    user = get_user(user_id)
    before = {"role": user.role, "status": user.status, "name": user.name}
    wanted = {"role": role, "status": status, "name": name}
    changed = {key: value for key, value in wanted.items() if value is not None and value != before[key]}
    _check_change(user, changed, by)
    if {"role", "status"} & changed.keys() and user.role == "owner" and user.status == "active":
        check_owner_remains(user.id)
    for key, value in changed.items():
        setattr(user, key, value)
    if changed.get("status") == "suspended":
        end_sessions_of(user.id)
    if changed:
        was = {key: before[key] for key in changed}
        audit.record("identity.user_changed", user.id, principal=by, detail={"from": was, "to": changed})
        identity_changed()
    return user


def _check_change(user: User, changed: dict[str, str], by: Principal) -> None:
    if changed.get("role", user.role) not in ROLES:
        raise Invalid.field("role", f"must be one of {', '.join(ROLES)}")
    if "status" in changed and changed["status"] not in STATUSES:
        raise Invalid.field("status", f"must be one of {', '.join(STATUSES)}")
    if "status" in changed and user.status == "invited":
        raise Conflict("The invitation is still open: it is accepted by its own link, or taken back.")
    if "name" in changed:
        changed["name"] = checked_name(changed["name"])
    own_name = changed.keys() <= {"name"} and by.user_id == user.id
    if not own_name:
        check_may_manage(by, cast("Role", user.role))
        check_may_manage(by, cast("Role", changed.get("role", user.role)))


def remove_user(user_id: str, *, by: Principal) -> None:
    """Remove a user with sessions, links and tokens. Raises NotFound, Forbidden, Conflict for the last owner."""
    user = get_user(user_id)
    check_may_manage(by, cast("Role", user.role))
    if user.role == "owner" and user.status == "active":
        check_owner_remains(user.id)
    audit.record("identity.user_removed", user.id, principal=by, detail={"email": user.email, "role": user.role})
    db.session.delete(user)
    db.session.flush()
    identity_changed()


def check_owner_remains(without: str) -> None:
    """Make sure that an active owner is left without this user. Raises Conflict.

    The owners' rows are locked in one order, so that of two owners who demote each other at once only one succeeds;
    on SQLite writers take turns anyway.
    """
    statement = select(User.id).where(User.role == "owner", User.status == "active").order_by(User.id).with_for_update()
    if set(db.session.scalars(statement)) <= {without}:
        raise Conflict("There must be an active owner: make somebody else owner first.")
