"""Coming in through any door: a session for the browser of the running request, and the answer that hands it over."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, redirect, request

from pilothouse.db import db, unit_of_work
from pilothouse.errors import Forbidden, NotFound
from pilothouse.identity.asking import visitor
from pilothouse.identity.cookies import session_cookie, set_session
from pilothouse.identity.models import User
from pilothouse.identity.sessions import open_session, sign_out
from pilothouse.identity.users import find_user, normalise_email
from pilothouse.runtime import runtime


def admit(email: str) -> User:
    """Return the active member with an address that a login method has proved, in the open unit of work.

    Somebody who is invited joins by that. Raises NotFound for strangers, Forbidden for the suspended and where the
    invitation is over; Invalid for what is no address.
    """
    user = find_user(normalise_email(email))
    if user is None:
        raise NotFound("Nobody here has this address.")
    if user.status == "invited":
        runtime().registry.first("join", user_id=user.id)
        db.session.flush()
        db.session.refresh(user)
    if user.status != "active":
        raise Forbidden("The membership is suspended." if user.status == "suspended" else "The invitation is over.")
    return user


def begin_session(user: User, *, proven: bool = False) -> str:
    """Sign a user in with the browser of the running request, in the open unit of work; returns the session's token.

    The caller has made sure who it is; hand the token to `enter` once the unit of work has committed.
    `proven` says that they came with more than an address that is theirs, such as a passkey.
    """
    browser = visitor()
    return open_session(user, device=browser.device, address=browser.address, proven=proven)


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
