"""What Sentry answers: the event's id, or a fault as `{"detail": ...}`; limits in Sentry's own words.

https://develop.sentry.dev/sdk/expected-features/rate-limiting/. SDKs hold back all that they have after a 429 with
`Retry-After`; whatever else comes, an event that was refused is lost to them.
"""

from __future__ import annotations

import msgspec
from flask import Response, request
from werkzeug.exceptions import HTTPException

from pilothouse.sdk import PilothouseError
from pilothouse_sentry.credentials import keys_of

JSON = "application/json"
BUSY_S = 2  # seconds after which to try again when nothing better is known
FULL_S = 30  # seconds after which to try again when the disk is full
UNAUTHORIZED, FORBIDDEN, TOO_MANY, FULL = 401, 403, 429, 507
_WAITING = frozenset({TOO_MANY, 503, FULL})
MISSING = "missing authorization information"
UNKNOWN = "event submission rejected with_reason: unknown sentry_key"


def accepted(event_id: str) -> Response:
    """Answer that everything was taken."""
    return Response(msgspec.json.encode({"id": event_id}), content_type=JSON)


def fault(error: Exception) -> Response:
    """Answer a fault of ours or of HTTP itself."""
    retry_after = None
    if isinstance(error, PilothouseError):
        status, detail, retry_after = error.status, error.detail, error.retry_after
    else:
        known = error if isinstance(error, HTTPException) else HTTPException()
        status, detail = known.code or 500, known.description or ""
    if status == UNAUTHORIZED:
        status, detail = (FORBIDDEN, UNKNOWN) if any(keys_of(request)) else (UNAUTHORIZED, MISSING)
    response = Response(msgspec.json.encode({"detail": detail, "causes": []}), status, content_type=JSON)
    if status in _WAITING:
        wait = retry_after or (FULL_S if status == FULL else BUSY_S)
        response.headers["Retry-After"] = str(wait)
        # no category: it holds for all of them; Sentry's other scopes are single projects and keys
        response.headers["X-Sentry-Rate-Limits"] = f"{wait}::organization:pilothouse"
    if status == UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Sentry"
    return response
