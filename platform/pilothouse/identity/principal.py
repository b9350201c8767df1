"""Who is calling: a person by session cookie, a program by access token, somebody that a plugin knows, or nobody."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from flask import Request, g, has_app_context, has_request_context
from flask_login import UserMixin, current_user

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.audit import ACTING
from pilothouse.crypto import checksum_ok, hash_token
from pilothouse.errors import Forbidden, NotSignedIn
from pilothouse.identity.access_tokens import find_token
from pilothouse.identity.changes import TOPIC
from pilothouse.identity.cookies import session_cookie
from pilothouse.identity.sessions import TOUCH_EVERY, Found, find_session
from pilothouse.runtime import runtime

KEPT_S = 10.0  # longer than the 5 s between two polls of a console, which then cost no query
LATE_S = 1.0  # how late a token's revocation may be seen by another process; sessions are asked for each time
KEPT_PRINCIPALS = 10_000  # a bound on memory; then all are forgotten
TOUCH = "pilothouse_touch"  # the attribute of flask.g: whose last use is to be noted after the answer


class SignedIn(UserMixin):
    """A principal in the form that Flask-Login and templates use as `current_user`."""

    def __init__(self, principal: Principal) -> None:
        """Wrap a principal."""
        self.principal = principal

    def get_id(self) -> str:
        """Return the principal's id."""
        return self.principal.id

    @property
    def name(self) -> str:
        """The person's name, the address where there is none, or the token's name."""
        return self.principal.name or self.principal.email

    @property
    def email(self) -> str:
        """The person's address; empty for tokens of the command line."""
        return self.principal.email

    @property
    def role(self) -> str:
        """The role."""
        return self.principal.role


@dataclass(frozen=True, slots=True)
class _Kept:
    revision: str
    until: float
    found: Found


class Resolver:
    """Flask-Login's request loader: from a request to who makes it.

    Principals are kept for a few seconds under identity's revision counter, which every change raises after its commit;
    while the broker is away there is no counter, nothing is kept and each request asks the database.
    """

    def __init__(self) -> None:
        """Start with nothing known."""
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> SignedIn | None:
        """Return who makes the request; an `Authorization: Bearer` counts alone, also where it is wrong."""
        bearer = bearer_token(request)
        if bearer is not None:
            found = self._find(bearer, by_token=True)
        else:
            cookie = session_cookie(request)
            found = self._find(cookie, by_token=False) if cookie else None
        principal = found.principal if found else None
        if principal is None and bearer is None:
            principal = runtime().registry.first("authenticate", request=request)
        if principal is None:
            return None
        setattr(g, ACTING, principal)
        return SignedIn(principal)

    def _find(self, token: str, *, by_token: bool) -> Found | None:
        if not checksum_ok(token):
            return None
        changes = runtime().changes
        revision = changes.recent(TOPIC, within_s=LATE_S) if by_token else changes.revision(TOPIC)
        key = f"{by_token}{hash_token(token)}"
        kept = self._kept.get(key)
        if kept is not None and revision == kept.revision and time.monotonic() < kept.until and _lasts(kept.found):
            return kept.found
        found = find_token(token) if by_token else find_session(token)
        if found is not None and (found.used_at or 0) <= clock.now() - TOUCH_EVERY:
            setattr(g, TOUCH, found.principal)
        self._keep(key, revision, found)
        return found

    def _keep(self, key: str, revision: str | None, found: Found | None) -> None:
        with self._lock:
            if revision is None or len(self._kept) >= KEPT_PRINCIPALS:
                self._kept.clear()
            if revision is not None and found is not None:
                self._kept[key] = _Kept(revision, time.monotonic() + KEPT_S, found)
            else:
                self._kept.pop(key, None)


def _lasts(found: Found) -> bool:
    return found.expires_at is None or found.expires_at > clock.now()


def bearer_token(request: Request) -> str | None:
    """Return what stands after `Authorization: Bearer`, None where there is no such header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def find_principal(token: str) -> Principal | None:
    """Return whose access token it is; None for nobody's. For plugins whose clients send it in another header."""
    found = find_token(token)
    if found is not None and (found.used_at or 0) <= clock.now() - TOUCH_EVERY:
        setattr(g, TOUCH, found.principal)
    return found.principal if found is not None else None


def current_principal() -> Principal | None:
    """Return who makes the running request, or as whom a task acts; None for nobody."""
    if has_request_context():
        user = current_user._get_current_object()  # noqa: SLF001 - the documented way through werkzeug's proxy
        return user.principal if isinstance(user, SignedIn) else None
    return g.get(ACTING) if has_app_context() else None


def require(permission_name: str) -> Principal:
    """Return who is calling if they may do this. Raises NotSignedIn for nobody, Forbidden for anybody else."""
    principal = current_principal()
    if principal is None:
        raise NotSignedIn("Sign in, or send an access token as `Authorization: Bearer`.")
    permission = runtime().registry.permission(permission_name)
    if not principal.may(permission):
        lacks = "role" if principal.role not in permission.roles else f"token without the scope {permission.scope}"
        raise Forbidden(f"Your {lacks} does not allow this: {permission.title}.")
    return principal
