"""Access tokens where SDKs put the provider's key when it is no `Authorization: Bearer`."""

from __future__ import annotations

from flask import Request

from pilothouse.sdk import Principal, find_principal
from pilothouse_gateway.headers import TOKEN_HEADERS

BLUEPRINT = "gateway_api"
LONGEST = 500  # characters of a header that is looked at; a token has 57


def principal_of(request: Request) -> Principal | None:
    """Return who sends a request through the gateway; None for other requests and unknown tokens."""
    if request.blueprint != BLUEPRINT:
        return None
    found = (request.headers.get(name, "")[:LONGEST].strip() for name in TOKEN_HEADERS[1:])
    return next((principal for token in found if token and (principal := find_principal(token)) is not None), None)
