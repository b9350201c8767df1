"""Proving that it is still you: a second step after signing in, and again before dangerous acts.

A plugin that keeps second factors demands one of a person and says at which address it is given. A session of theirs is
nobody's until then; what opens it is `prove`. A fresh sign-in counts as a proof for ten minutes.
"""

from __future__ import annotations

from flask import Request
from sqlalchemy import select, update

from pilothouse import audit, clock
from pilothouse.crypto import hash_token
from pilothouse.db import db
from pilothouse.errors import ProofWanted
from pilothouse.identity.changes import identity_changed
from pilothouse.identity.cookies import session_cookie
from pilothouse.identity.models import LoginSession, User
from pilothouse.identity.principal import current_principal
from pilothouse.identity.sessions import LIFETIME

LASTS = 10 * clock.MINUTE


def demand(user_id: str, path: str | None) -> None:
    """Demand a second factor of a person from their next sign-in on, given at a local address; None for no longer."""
    db.session.execute(update(User).where(User.id == user_id).values(proof_path=path))
    identity_changed()


def demanded(user_id: str | None) -> str | None:
    """Return the address at which a person gives their second factor; None where none is demanded."""
    return db.session.scalar(select(User.proof_path).where(User.id == user_id)) if user_id else None


def waiting(request: Request) -> LoginSession | None:
    """Return the session of the browser that asks if it waits for its second factor."""
    token = session_cookie(request)
    if not token:
        return None
    open_ones = select(LoginSession).join(User, User.id == LoginSession.user_id)
    mine = open_ones.where(LoginSession.token_hash == hash_token(token), LoginSession.factor_at.is_(None))
    return db.session.scalar(mine.where(LoginSession.expires_at > clock.now(), User.status == "active"))


def prove(session_id: str, how: str) -> None:
    """Note, in the open unit of work, that the person of a session has just proved who they are, and how."""
    session = db.session.get_one(LoginSession, session_id)
    at = clock.now()
    if session.factor_at is None:
        session.expires_at = at + LIFETIME
    session.factor_at = at
    audit.record("identity.proved", session.user_id, detail={"how": how})
    identity_changed()


def require_proof() -> None:
    """Raise ProofWanted where the running request is of a browser whose person proved longest ago who they are.

    Programs with an access token cannot be asked, and are not.
    """
    principal = current_principal()
    if principal is not None and principal.session_id is not None and (principal.proved_at or 0) < clock.now() - LASTS:
        raise ProofWanted("This needs to be surely you, and you signed in more than ten minutes ago.")
