"""The owner: made from the command line, and never locked out for good."""

from __future__ import annotations

from sqlalchemy import select

from pilothouse import audit
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Conflict
from pilothouse.identity.changes import identity_changed
from pilothouse.identity.magic_links import print_link
from pilothouse.identity.models import User
from pilothouse.identity.users import add_user, find_user, normalise_email


def make_owner(email: str) -> str:
    """Make sure that the address is an owner's, and return a fresh sign-in link that any browser may use.

    Needs neither mail nor broker. A suspended owner is active again. Raises Invalid for no address, and Conflict where
    another one is the owner: they make further owners on the Team page.
    """
    email = normalise_email(email)
    with unit_of_work():
        user = find_user(email)
        if user is None or user.role != "owner":
            _check_no_owner()
        if user is None:
            user = add_user(email, "owner")
        elif (user.role, user.status) != ("owner", "active"):
            user.role, user.status = "owner", "active"
            audit.record("identity.owner_made", user.id, detail={"email": email})
            identity_changed()
        db.session.flush()
        return print_link(user)


def _check_no_owner() -> None:
    owner = db.session.scalar(select(User.email).where(User.role == "owner").order_by(User.created_at).limit(1))
    if owner is not None:
        raise Conflict(f"{owner} is the owner; they make further owners on the Team page.")
