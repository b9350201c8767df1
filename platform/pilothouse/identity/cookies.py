"""The two cookies: the session's, and the one that binds a magic link to the browser that asked for it.

On HTTPS both carry the `__Host-` prefix, so that no other host of the domain can set them (RFC 6265bis, 4.1.3.2).
"""

from __future__ import annotations

import secrets

from flask import Request, Response

from pilothouse import clock
from pilothouse.identity.sessions import LIFETIME
from pilothouse.runtime import runtime

ASKING_LIFETIME = clock.DAY  # longer than any link, so that several links of one browser stay bound to it


def _secure() -> bool:
    return runtime().settings.base_url.startswith("https://")


def session_name() -> str:
    """Return the name of the session's cookie."""
    return "__Host-pilothouse" if _secure() else "pilothouse_session"


def _browser_name() -> str:
    return "__Host-pilothouse_browser" if _secure() else "pilothouse_browser"


def session_cookie(request: Request) -> str:
    """Return the session's token that the browser sent, or nothing."""
    return request.cookies.get(session_name(), "")


def set_session(response: Response, token: str) -> None:
    """Let the browser keep a session's token."""
    _set(response, session_name(), token, LIFETIME)


def clear_session(response: Response) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(session_name(), secure=_secure(), httponly=True, samesite="Lax")


def browser_cookie(request: Request) -> str:
    """Return the binding value that the browser sent, or nothing."""
    return request.cookies.get(_browser_name(), "")


def bind_browser(request: Request) -> str:
    """Return the browser's binding value, a new one where it has none; `keep_browser` hands it over."""
    return browser_cookie(request) or secrets.token_urlsafe(32)


def keep_browser(response: Response, value: str) -> None:
    """Let the browser keep its binding value."""
    _set(response, _browser_name(), value, ASKING_LIFETIME)


def _set(response: Response, name: str, value: str, lifetime: int) -> None:
    response.set_cookie(name, value, max_age=lifetime // clock.SECOND, secure=_secure(), httponly=True, samesite="Lax")
