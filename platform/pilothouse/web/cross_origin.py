"""Routes that pages of other sites may call: doors for what runs in browsers (https://fetch.spec.whatwg.org/#http-cors-protocol).

A page that has an access token may send with it; cookies are never asked for, and nothing is answered that the sender does not
know. `PILOTHOUSE_BROWSER_ORIGINS` says which sites, all if left out.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from pilothouse.runtime import runtime

ANY = "*"
SENT = "Authorization, Content-Encoding, Content-Type, X-Sentry-Auth"  # beside what every page may send
SHOWN = "Retry-After, X-Request-Id, X-Sentry-Rate-Limits"  # beside what every page may read
REMEMBERED_S = 7_200  # Chromium remembers no longer


def open_to_browsers(blueprint: Blueprint) -> None:
    """Let pages of other sites call the routes of a blueprint, all of which only take in."""
    blueprint.after_request(_allow)


def _allow(response: Response) -> Response:
    origin = request.headers.get("Origin")
    allowed = runtime().settings["PILOTHOUSE_BROWSER_ORIGINS"]
    if ANY not in allowed:
        response.vary.add("Origin")
        if origin is None or origin.lower() not in allowed:
            return response
    if origin is None:
        return response
    response.headers["Access-Control-Allow-Origin"] = ANY if ANY in allowed else origin
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = SENT
        response.headers["Access-Control-Max-Age"] = str(REMEMBERED_S)
    else:
        response.headers["Access-Control-Expose-Headers"] = SHOWN
    return response
