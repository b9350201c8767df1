"""The API of signing in: links, who one is, one's sessions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from flask import Response, request

from pilothouse import clock
from pilothouse.access import PUBLIC, Principal
from pilothouse.db import db
from pilothouse.identity.asking import ask_for_link
from pilothouse.identity.cookies import clear_session, keep_browser, session_cookie
from pilothouse.identity.models import User
from pilothouse.identity.principal import require
from pilothouse.identity.sessions import end_session, sessions_of, sign_out
from pilothouse.runtime import runtime
from pilothouse.web.api import ApiBlueprint, serialise
from pilothouse.web.csrf import csrf_token
from pilothouse.web.paging import DEFAULT_LIMIT, Limit, Page, page_of, read_cursor

VIEW = "core.console.view"
MANAGE = "core.self.manage"


class LinkRequest(msgspec.Struct, frozen=True):
    """Who wants to sign in."""

    email: Annotated[str, msgspec.Meta(max_length=320)]


class ListQuery(msgspec.Struct, frozen=True):
    """Which part of the list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class LinkAnswer(msgspec.Struct, frozen=True):
    """The code that another browser asks for, and how long the link is good for."""

    code: str
    expires_in: int


class Me(msgspec.Struct, frozen=True):
    """A person, or a token of the command line, which has no address."""

    id: str
    email: str | None
    name: str
    role: str
    status: str
    joined_at: str | None = None
    last_active_at: str | None = None
    created_at: str | None = None


class WhoAmI(msgspec.Struct, frozen=True):
    """Who is calling and what they may do; `csrf_token` is for browsers' unsafe requests, null for tokens."""

    user: Me
    role: str
    permissions: list[str]
    csrf_token: str | None


class SessionRecord(msgspec.Struct, frozen=True):
    """A signed-in browser; `current` is the one that asks."""

    id: str
    device: str
    address: str
    last_seen_at: str
    created_at: str
    current: bool


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("auth", title="Signing in")
    bp.post("/auth/magic-link", permission=PUBLIC, status=202, transaction=False)(ask_magic_link)
    bp.post("/auth/logout", permission=MANAGE, status=204)(logout)
    bp.get("/auth/me", permission=VIEW)(me)
    bp.get("/auth/sessions", permission=VIEW)(list_sessions)
    bp.delete("/auth/sessions/<session_id>", permission=MANAGE)(delete_session)
    return bp


def ask_magic_link(body: LinkRequest) -> LinkAnswer:
    """Ask for a sign-in link.

    Always the same answer, whether or not the address is known. The link works in the browser that asked; another one
    must give `code`. At most 5 requests an address and 60 a network address in 10 minutes.
    """
    asked = ask_for_link(body.email)
    response = serialise(LinkAnswer(asked.code, 600), 202)
    keep_browser(response, asked.browser)
    return response  # type: ignore[return-value]  # the answer above, with the browser's cookie


def logout() -> None:
    """Sign out: the session ends at once. A token stays as it is."""
    sign_out(session_cookie(request))
    response = Response(status=204)
    clear_session(response)
    return response  # type: ignore[return-value]  # nothing, with the cookie taken back


def me() -> WhoAmI:
    """Say who is calling."""
    principal = require(VIEW)
    permissions = sorted(p.name for p in runtime().registry.permissions.values() if principal.may(p))
    return WhoAmI(_user(principal), principal.role, permissions, csrf_token() or None)


def _user(principal: Principal) -> Me:
    user = db.session.get(User, principal.user_id) if principal.user_id else None
    if user is None:
        return Me(principal.id, None, principal.name, principal.role, "active")
    return Me(
        user.id, user.email, user.name, user.role, user.status,
        _time(user.joined_at), _time(user.last_active_at), _time(user.created_at),
    )


def _time(at: int | None) -> str | None:
    return None if at is None else clock.to_rfc3339(at)


def list_sessions(query: ListQuery) -> Page[SessionRecord]:
    """List one's own sessions, newest first."""
    principal = require(VIEW)
    after = read_cursor(query.cursor) if query.cursor else None
    found = sessions_of(principal.user_id or "", query.limit, after)
    rows, cursor = page_of(found, query.limit, lambda session: (session.created_at, session.id))
    records = [
        SessionRecord(
            session.id, session.device, session.address, clock.to_rfc3339(session.last_seen_at),
            clock.to_rfc3339(session.created_at), session.id == principal.session_id,
        )
        for session in rows
    ]  # fmt: skip
    return Page(records, cursor)


def delete_session(session_id: str) -> None:
    """End one of one's own sessions; it is refused from the next request on."""
    end_session(session_id, require(MANAGE).user_id or "")
