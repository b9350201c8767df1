"""Server-side sessions: a browser holds a random token, the database its hash; ending the row ends the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sqlalchemy import delete, select, tuple_, update

from pilothouse import audit, clock
from pilothouse.access import Principal, Role
from pilothouse.crypto import hash_token, make_token
from pilothouse.db import count_changed, db
from pilothouse.errors import NotFound
from pilothouse.identity.changes import identity_changed
from pilothouse.identity.models import LoginSession, User

LIFETIME = 30 * clock.DAY
WAITS = 10 * clock.MINUTE  # for its second factor
TOUCH_EVERY = clock.MINUTE  # how exact `last_seen_at` is: one write a minute and session


@dataclass(frozen=True, slots=True)
class Found:
    """Whom a secret stands for, until when (ms, None for ever), and when it was last noted as used (ms)."""

    principal: Principal
    expires_at: int | None
    used_at: int | None


def open_session(user: User, *, device: str, address: str, proven: bool = False) -> str:
    """Sign a user in, in the open unit of work; returns the token for the cookie, which is stored nowhere.

    Where a second factor is demanded of the user the session waits for it, unless what they came with was one (`proven`).
    """
    token, at = make_token("session"), clock.now()
    waits = user.proof_path is not None and not proven
    over = at + (WAITS if waits else LIFETIME)
    session = LoginSession(
        id=clock.new_id(),
        user_id=user.id,
        token_hash=hash_token(token),
        expires_at=over,
        created_at=at,
        last_seen_at=at,
        device=device[:255],
        address=address[:255],
        factor_at=None if waits else at,
    )
    db.session.add(session)
    user.last_active_at = at
    user.joined_at = user.joined_at or at
    audit.record("identity.signed_in", user.id, principal=principal_of(user, session), detail={"address": address})
    return token


def principal_of(user: User, session: LoginSession) -> Principal:
    """Return who acts in a session."""
    return Principal(
        user.id,
        cast("Role", user.role),
        user.name,
        user.email,
        user_id=user.id,
        session_id=session.id,
        proved_at=session.factor_at,
    )


def find_session(token: str) -> Found | None:
    """Return whose session a cookie's token is; None where it is unknown, over, waits, or its user is not active."""
    statement = (
        select(LoginSession, User)
        .join(User, User.id == LoginSession.user_id)
        .where(LoginSession.token_hash == hash_token(token), LoginSession.expires_at > clock.now())
        .where(User.status == "active", LoginSession.factor_at.is_not(None))
    )
    row = db.session.execute(statement).one_or_none()
    if row is None:
        return None
    session, user = row
    return Found(principal_of(user, session), session.expires_at, session.last_seen_at)


def sessions_of(user_id: str, limit: int | None = None, after: tuple[int, str] | None = None) -> list[LoginSession]:
    """Return a user's sessions that are not over, newest first; a page has `limit + 1`, after the cursor."""
    statement = select(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at > clock.now())
    if after is not None:
        statement = statement.where(tuple_(LoginSession.created_at, LoginSession.id) < after)
    ordered = statement.order_by(LoginSession.created_at.desc(), LoginSession.id.desc())
    return list(db.session.scalars(ordered if limit is None else ordered.limit(limit + 1)))


def end_session(session_id: str, user_id: str) -> None:
    """End one of the user's own sessions. Raises NotFound for another's as for one that is not there."""
    statement = delete(LoginSession).where(LoginSession.id == session_id, LoginSession.user_id == user_id)
    if not count_changed(statement):
        raise NotFound("There is no such session, or it is over.")
    audit.record("identity.session_ended", session_id)
    identity_changed()


def sign_out(token: str) -> None:
    """End the session of a cookie's token, if it is one."""
    session = db.session.scalar(select(LoginSession).where(LoginSession.token_hash == hash_token(token)))
    if session is not None:
        audit.record("identity.signed_out", session.user_id)
        db.session.delete(session)
        identity_changed()


def end_sessions_of(user_id: str) -> None:
    """End every session of a user."""
    db.session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))
    identity_changed()


def end_other_sessions(user_id: str, keep: str) -> int:
    """End a user's sessions but the one with the id `keep`; returns how many ended."""
    statement = delete(LoginSession).where(LoginSession.user_id == user_id, LoginSession.id != keep)
    ended = count_changed(statement)
    if ended:
        audit.record("identity.other_sessions_ended", user_id, detail={"ended": ended})
        identity_changed()
    return ended


def touch_session(session_id: str, user_id: str) -> None:
    """Note that a session and its user were seen now."""
    at = clock.now()
    db.session.execute(update(LoginSession).where(LoginSession.id == session_id).values(last_seen_at=at))
    db.session.execute(update(User).where(User.id == user_id).values(last_active_at=at))


def purge_sessions() -> None:
    """Delete the sessions that are over."""
    db.session.execute(delete(LoginSession).where(LoginSession.expires_at <= clock.now()))
