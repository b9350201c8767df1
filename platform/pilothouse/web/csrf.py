"""CSRF: unsafe requests of a browser's session need a token that only our own pages can read.

The token is an HMAC of the session's id, masked anew for each answer, because compressed pages must not carry a
constant secret (BREACH, CVE-2013-3587). `Sec-Fetch-Site` and `Origin` are checked as well. Programs with an access
token need none: no browser sends that header by itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from flask import Flask, g, request

from pilothouse.errors import CsrfFailed
from pilothouse.identity.cookies import session_cookie
from pilothouse.identity.principal import current_principal
from pilothouse.runtime import application, runtime

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
HEADER = "X-CSRF-Token"
FIELD = "csrf_token"
TOKEN_BYTES = 32
# These use nothing of the session: the secret is in the link, or there is none. Those that act check where they come from.
WITHOUT_TOKEN = frozenset({"auth_api.ask_magic_link", "signin.ask", "signin.use", "console.note_violation"})
OPEN_DOOR = "checks_origin_itself"  # the attribute of plugins' views for which the same holds


def init_csrf(app: Flask) -> None:
    """Check every unsafe request, and give templates `csrf_token()`."""
    app.before_request(check_csrf)
    app.jinja_env.globals["csrf_token"] = csrf_token


def csrf_token() -> str:
    """Return the session's token in a form of its own for this answer; empty where nobody is signed in by session.

    All forms of an answer have the same one: each in its own would weigh 88 bytes that nothing compresses, a hundred times
    over on a page of notices, and hide no more.
    """
    principal = current_principal()
    if principal is None or principal.session_id is None:
        return ""
    mask = g.setdefault("csrf_mask", secrets.token_bytes(TOKEN_BYTES))
    return base64.urlsafe_b64encode(mask + _xor(mask, _secret(principal.session_id))).decode().rstrip("=")


def check_csrf() -> None:
    """Refuse an unsafe request of a session without its token. Raises CsrfFailed."""
    if request.method in SAFE or not session_cookie(request) or request.endpoint in WITHOUT_TOKEN:
        return
    if getattr(application().view_functions.get(request.endpoint or ""), OPEN_DOOR, False):
        return
    principal = current_principal()
    if principal is None or principal.session_id is None:
        return
    check_origin()
    sent = request.headers.get(HEADER, "")
    if not sent and request.mimetype in FORMS:
        sent = request.form.get(FIELD, "")
    if not _matches(sent, principal.session_id):
        raise CsrfFailed("Send the page's token in X-CSRF-Token or csrf_token; reload a page that was open for long.")


def check_origin() -> None:
    """Refuse what another site's page sends; programs send neither header. Raises CsrfFailed."""
    site = request.headers.get("Sec-Fetch-Site")
    if site in {"same-origin", "none"}:
        return
    origin = request.headers.get("Origin")
    if site is None and origin is None:
        return
    ours = {request.host, urlsplit(runtime().settings.base_url).netloc}
    if site is not None or urlsplit(origin or "").netloc not in ours:
        raise CsrfFailed("The request comes from another site's page.")


def _secret(session_id: str) -> bytes:
    return hmac.new(runtime().settings.secret_key.encode(), f"csrf:{session_id}".encode(), hashlib.sha256).digest()


def _matches(sent: str, session_id: str) -> bool:
    try:
        body = base64.urlsafe_b64decode(sent + "=" * (-len(sent) % 4))
    except (binascii.Error, ValueError):
        return False
    mask, masked = body[:TOKEN_BYTES], body[TOKEN_BYTES:]
    return len(body) == 2 * TOKEN_BYTES and hmac.compare_digest(_xor(mask, masked), _secret(session_id))


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
