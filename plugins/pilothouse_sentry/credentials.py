"""Access tokens where Sentry's SDKs put the key of their DSN: in a header, in the query or in the envelope itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from flask import Request

from pilothouse.sdk import PilothouseError, Principal, find_principal, read_body
from pilothouse_sentry.envelope import header_of
from pilothouse_sentry.limits import MOST_BYTES

BLUEPRINT = "sentry_api"
LONGEST = 1_000  # characters of a header that is looked at; a token has 57
HEADERS = ("X-Sentry-Auth", "Authorization")
_KEY = re.compile(r"(?:^|[\s,])sentry_key\s*=\s*([^\s,]+)")


def principal_of(request: Request) -> Principal | None:
    """Return who sends a request to this door; None for other requests and unknown keys."""
    if request.blueprint != BLUEPRINT:
        return None
    return next((found for key in keys_of(request) if (found := find_principal(key)) is not None), None)


def keys_of(request: Request) -> Iterator[str]:
    """Return what may be an access token. The body is only read where nothing else names one."""
    named = [match[1] for name in HEADERS if (match := _KEY.search(request.headers.get(name, "")[:LONGEST]))]
    named += [key for key in request.args.getlist("sentry_key")[:2] if key]
    if not named and request.endpoint is not None and request.endpoint.endswith(".envelope"):
        named += _in_envelope()
    yield from (key[:LONGEST] for key in named)


def _in_envelope() -> list[str]:
    """Return the key of the DSN that the envelope's header names. A body that cannot be read is refused later on."""
    try:
        dsn = header_of(read_body(MOST_BYTES)).get("dsn")
        key = urlsplit(dsn).username if isinstance(dsn, str) else None
    except (PilothouseError, ValueError):
        return []
    return [key] if key else []
