"""Faults of the gateway in the provider's own shape, so that SDKs unpack them, and know which to try again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Response, request
from werkzeug.exceptions import HTTPException

from pilothouse.sdk import BudgetUsedUp, PilothouseError, new_id

JSON = "application/json"
BUSY_S = 2  # seconds after which to try again when nothing better is known
TOO_MANY, FAILED_DEPENDENCY = 429, 424
WAITING = frozenset({TOO_MANY, 503, 507})
OPENAI_TYPES = {
    400: "invalid_request_error", 401: "invalid_request_error", 403: "permission_error", 404: "invalid_request_error",
    413: "invalid_request_error", 422: "invalid_request_error", 424: "gateway_error", 429: "requests",
}  # fmt: skip
OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
ANTHROPIC_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 422: "invalid_request_error", 424: "gateway_error", 429: "rate_limit_error", 504: "timeout_error",
}  # fmt: skip
QUOTA = "insufficient_quota"


class NoUsableKey(PilothouseError):
    """The vault has no key for the service, or the provider refuses all that it has."""

    status, code, title = FAILED_DEPENDENCY, "no_usable_key", "There is no usable key"


class NotAllowedUpstream(PilothouseError):
    """The provider's address, as it is set or stands with the key, may not be called from here."""

    status, code, title = FAILED_DEPENDENCY, "upstream_not_allowed", "The provider's address is not allowed"


class Misled(PilothouseError):
    """The provider's address answers with a redirect, which is not followed."""

    status, code, title = 502, "redirected", "The provider's address leads elsewhere"


def fault(error: Exception) -> Response:
    """Answer a fault of ours or of HTTP itself in the shape of the provider that was asked for."""
    if isinstance(error, PilothouseError):
        status, code, detail, retry_after = error.status, error.code, error.detail, error.retry_after
    else:
        known = error if isinstance(error, HTTPException) else HTTPException()
        status, code, detail, retry_after = known.code or 500, "http", known.description or "", None
    headers = {}
    spent = isinstance(error, BudgetUsedUp)
    if spent:
        status, headers["x-should-retry"] = TOO_MANY, "false"
    if status in WAITING:
        headers["Retry-After"] = str(retry_after or BUSY_S)
    if status == 401:  # noqa: PLR2004 - not signed in
        headers["WWW-Authenticate"] = 'Bearer realm="Pilothouse"'
        detail = "This is no access token of Pilothouse with the scope `gateway`, which goes where the provider's key was."
    anthropic = request.path.startswith("/gateway/anthropic")
    body = _anthropic(status, detail) if anthropic else _openai(status, QUOTA if spent else None, code, detail)
    return Response(msgspec.json.encode(body), status, headers, content_type=JSON)


def _openai(status: int, kind: str | None, code: str, message: str) -> Mapping[str, Any]:
    kind = kind or OPENAI_TYPES.get(status, "server_error")
    told = code if kind == QUOTA else OPENAI_CODES.get(status, code)
    return {"error": {"message": message, "type": kind, "param": None, "code": told}}


def _anthropic(status: int, message: str) -> Mapping[str, Any]:
    kind = ANTHROPIC_TYPES.get(status, "overloaded_error" if status in WAITING else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{new_id()}"}
