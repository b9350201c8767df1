"""Coming in through any door: a session for the browser of the running request, and the answer that hands it over."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, redirect, request

from pilothouse.db import unit_of_work
from pilothouse.identity.asking import visitor
from pilothouse.identity.cookies import session_cookie, set_session
from pilothouse.identity.models import User
from pilothouse.identity.sessions import open_session, sign_out


def begin_session(user: User) -> str:
    """Sign a user in with the browser of the running request, in the open unit of work; returns the session's token.

    The caller has made sure who it is; hand the token to `enter` once the unit of work has committed.
    """
    browser = visitor()
    return open_session(user, device=browser.device, address=browser.address)


def enter(token: str, next_path: str) -> Response:
    """Answer 303 to a local path with the session's cookie, and end the session that the browser held before."""
    before = session_cookie(request)
    if before:  # the browser changes hands or signs in again: what it held before is of no use to anybody
        with unit_of_work():
            sign_out(before)
    answer = redirect(next_path, HTTPStatus.SEE_OTHER)
    response = Response(answer.get_data(), answer.status_code, headers=list(answer.headers))
    set_session(response, token)
    return response
