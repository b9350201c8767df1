"""Security headers: on every answer, the errors included."""

from __future__ import annotations

import pytest
from flask import Flask, Response

EXPECTED = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types ph; report-uri /-/csp",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.parametrize("path", ["/login", "/api/auth/me", "/nothing", "/login/x", "/broken"])
def test_every_answer_carries_them(app: Flask, client, path):
    app.add_url_rule("/broken", view_func=lambda: 1 / 0, endpoint="broken")
    headers = client.get(path).headers
    assert {name: headers[name] for name in EXPECTED} == EXPECTED
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers


def test_what_a_signed_in_person_gets_is_stored_nowhere(people, client):
    assert people.browser().get("/api/auth/me").headers["Cache-Control"] == "no-store"
    assert client.get("/api/auth/me", headers={"Authorization": "Bearer x"}).headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in client.get("/login").headers


def test_public_files_may_be_kept(app, people):
    def file():
        return Response("x", headers={"Cache-Control": "public, max-age=31536000, immutable"})

    app.add_url_rule("/file", view_func=file)
    assert "immutable" in people.browser().get("/file").headers["Cache-Control"]


def test_on_https_cookies_are_bound_to_the_host_and_browsers_keep_to_it(https_app):
    client = https_app.test_client()
    answer = client.post("/api/auth/magic-link", json={"email": "ada@example.com"}, base_url="https://ph.example")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-pilothouse_browser=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=63072000")


def test_on_https_the_session_cookie_is_too(https_app, people_of):
    browser_cookie = people_of(https_app)
    assert browser_cookie.startswith("__Host-pilothouse=ph_session_")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(browser_cookie.split("; "))
    assert "Domain" not in browser_cookie


@pytest.fixture
def people_of():
    """Return the function that signs the owner in and returns the cookie's header."""
    from pilothouse.identity.owner import make_owner

    def sign_in(app):
        with app.app_context():
            link = make_owner("ada@example.com")
        path = link.removeprefix("https://ph.example")
        return app.test_client().post(path, base_url="https://ph.example").headers["Set-Cookie"]

    return sign_in
