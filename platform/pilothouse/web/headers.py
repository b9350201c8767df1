"""Security headers on every answer."""

from __future__ import annotations

from flask import Flask, Response, request

from pilothouse.identity.cookies import session_cookie
from pilothouse.runtime import runtime

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types ph; report-uri /-/csp"
)
FEATURES = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen", "gamepad",
    "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone", "midi", "payment",
    "picture-in-picture", "screen-wake-lock", "serial", "usb",
    "xr-spatial-tracking",
)
HSTS = "max-age=63072000; includeSubDomains"  # two years, what browsers' preload lists ask for
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": ", ".join((*(f"{feature}=()" for feature in FEATURES), "publickey-credentials-get=(self)")),
}


def init_headers(app: Flask) -> None:
    """Set the headers on each answer of the application, its errors included."""
    app.after_request(add_headers)


def add_headers(response: Response) -> Response:
    """Add the headers; what a signed-in caller gets is stored nowhere, unless it is a public file."""
    response.headers.update(HEADERS)
    if runtime().settings.base_url.startswith("https://"):
        response.headers["Strict-Transport-Security"] = HSTS
    if not response.cache_control.public and (session_cookie(request) or "Authorization" in request.headers):
        response.headers["Cache-Control"] = "no-store"
    return response
