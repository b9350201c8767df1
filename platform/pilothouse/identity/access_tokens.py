"""Access tokens: what programs sign in with. Shown once, stored as a hash, with scopes and a role ceiling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from sqlalchemy import ColumnElement, func, or_, select, tuple_, update

from pilothouse import audit, clock
from pilothouse.access import ROLES, SCOPES, Principal, Role, Scope, outranks
from pilothouse.crypto import CHECKSUM_CHARS, RANDOM_CHARS, checksum_ok, hash_token, make_token
from pilothouse.db import db
from pilothouse.errors import Forbidden, Invalid, NotFound
from pilothouse.identity.changes import identity_changed
from pilothouse.identity.models import AccessToken, User
from pilothouse.identity.sessions import Found

KIND = "access"
SHOWN_CHARS = 6  # of 43 random characters: enough to tell tokens apart, and 220 bits stay unknown


def create_token(
    name: str, scopes: Iterable[str], *, maker: Principal | None = None, expires_at: int | None = None
) -> tuple[AccessToken, str]:
    """Make a token in the open unit of work; returns its row and the token, which cannot be shown again.

    Its role is its maker's; without a maker it is the command line's and acts as owner. `expires_at` is in ms. Raises
    Invalid for wrong fields and Forbidden where a token would make one with scopes that it has not itself.
    """
    wanted = _checked(name, scopes, expires_at)
    if maker is not None and maker.scopes is not None and not wanted <= maker.scopes:
        raise Forbidden("A token makes no token with scopes that it has not itself.")
    token = make_token(KIND)
    row = AccessToken(
        id=clock.new_id(), name=name.strip(), token_hash=hash_token(token),
        prefix=token[: -(RANDOM_CHARS + CHECKSUM_CHARS - SHOWN_CHARS)], scopes=" ".join(sorted(wanted)),
        role=maker.role if maker else "owner", user_id=maker.user_id if maker else None, expires_at=expires_at,
        created_by=maker.id if maker else "system", created_at=clock.now(),
    )
    db.session.add(row)
    audit.record("identity.token_made", row.id, principal=maker, detail={"name": row.name, "scopes": row.scopes})
    return row, token


def _checked(name: str, scopes: Iterable[str], expires_at: int | None) -> frozenset[Scope]:
    if not 1 <= len(name.strip()) <= 255 or not name.isprintable():  # noqa: PLR2004 - the column's width
        raise Invalid.field("name", "must be 1 to 255 printable characters")
    wanted = frozenset(scopes)
    if not wanted or not wanted <= frozenset(SCOPES):
        raise Invalid.field("scopes", f"must be some of {', '.join(SCOPES)}")
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid.field("expires_at", "must lie in the future")
    return cast("frozenset[Scope]", wanted)


def find_token(token: str) -> Found | None:
    """Return whom a token stands for; None where it is malformed, unknown, revoked, expired or its maker not active."""
    if not checksum_ok(token):
        return None
    statement = (
        select(AccessToken, User)
        .outerjoin(User, User.id == AccessToken.user_id)
        .where(AccessToken.token_hash == hash_token(token), AccessToken.revoked_at.is_(None), _unexpired())
    )
    found = db.session.execute(statement).one_or_none()
    if found is None:
        return None
    row: AccessToken = found[0]
    user: User | None = found[1]
    if user is not None and user.status != "active":
        return None
    return Found(_principal(row, user), row.expires_at, row.last_used_at)


def _principal(row: AccessToken, user: User | None) -> Principal:
    role = cast("Role", row.role if user is None else max(row.role, user.role, key=ROLES.index))
    return Principal(
        user.id if user else f"token:{row.id}", role, row.name, user.email if user else "",
        user_id=row.user_id, scopes=frozenset(cast("list[Scope]", row.scopes.split())), token_id=row.id,
    )


def tokens(*, limit: int | None = None, after: tuple[int, str] | None = None) -> list[AccessToken]:
    """Return up to `limit` usable tokens (None: all of them), newest first, after the (`created_at` in ms, id) of one."""
    statement = select(AccessToken).where(AccessToken.revoked_at.is_(None), _unexpired())
    if after is not None:
        statement = statement.where(tuple_(AccessToken.created_at, AccessToken.id) < after)
    newest_first = statement.order_by(AccessToken.created_at.desc(), AccessToken.id.desc())
    return list(db.session.scalars(newest_first.limit(limit)))


def count_tokens() -> int:
    """Return how many tokens may still be used."""
    usable = select(func.count()).select_from(AccessToken).where(AccessToken.revoked_at.is_(None), _unexpired())
    return db.session.scalar(usable) or 0


def token_names(token_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of those of these tokens that may still be used, by id."""
    wanted = set(token_ids)
    if not wanted:
        return {}
    usable = select(AccessToken.id, AccessToken.name).where(AccessToken.revoked_at.is_(None), _unexpired())
    return {row.id: row.name for row in db.session.execute(usable.where(AccessToken.id.in_(wanted)))}


def _unexpired() -> ColumnElement[bool]:
    return or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > clock.now())


def revoke_token(token_id: str, *, by: Principal | None = None) -> None:
    """Revoke a token; it is refused from the next request on.

    Raises NotFound where there is none, Forbidden where it has a role above that of `by` (None: the command line).
    """
    row = db.session.get(AccessToken, token_id)
    if row is None or row.revoked_at is not None:
        raise NotFound("There is no such token, or it was revoked before.")
    if by is not None and outranks(cast("Role", row.role), by.role):
        raise Forbidden("The token belongs to a role above yours.")
    _revoke(row, by)


def revoke_leaked(token: str) -> bool:
    """Revoke a token that somebody found in the open; holding it is enough. Says whether it was one that worked."""
    row = None
    if checksum_ok(token):
        row = db.session.scalar(
            select(AccessToken).where(AccessToken.token_hash == hash_token(token), AccessToken.revoked_at.is_(None))
        )
    if row is None:
        return False
    _revoke(row, None, reason="found in the open")
    return True


def _revoke(row: AccessToken, by: Principal | None, *, reason: str = "") -> None:
    row.revoked_at = clock.now()
    audit.record("identity.token_revoked", row.id, principal=by, detail={"name": row.name, "reason": reason})
    identity_changed()


def touch_token(token_id: str) -> None:
    """Note that a token was used now."""
    db.session.execute(update(AccessToken).where(AccessToken.id == token_id).values(last_used_at=clock.now()))
