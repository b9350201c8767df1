"""Access tokens where other services' clients put their keys: as the password of Basic, bare, or in a key header."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote

from flask import Request

from pilothouse.sdk import Principal, find_principal

KEY_HEADERS = ("X-Api-Key", "Api-Key", "X-Pilothouse-Token")
LONGEST = 500  # characters of a header that is looked at; a token has 57


def principal_of(request: Request, blueprints: frozenset[str]) -> Principal | None:
    """Return who sends a request to one of these blueprints; None for other requests and unknown tokens.

    Only the doors read these headers: a browser adds Basic by itself once it knows it, also to another site's requests.
    """
    if request.blueprint not in blueprints:
        return None
    return next((found for token in tokens_of(request) if (found := find_principal(token)) is not None), None)


def tokens_of(request: Request) -> list[str]:
    """Return what may be an access token among the headers, the likeliest first."""
    header = request.headers.get("Authorization", "")[:LONGEST].strip()
    scheme, _, rest = unquote(header).partition(" ")  # some SDKs send OTEL_EXPORTER_OTLP_HEADERS as it is written: %20
    found = [_password(rest.strip())] if scheme.lower() == "basic" else [rest.strip() if rest else scheme]
    found += [request.headers.get(name, "")[:LONGEST].strip() for name in KEY_HEADERS]
    return [token for token in found if token]


def _password(encoded: str) -> str:
    """Return the password of Basic, or the name where there is no password."""
    try:
        name, _, password = base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password or name
