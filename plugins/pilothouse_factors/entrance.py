"""The pages on the way in: signing in with a passkey, and giving the code that a session waits for. Open to everybody."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, make_response, redirect, render_template, request

from pilothouse.sdk import (
    PUBLIC,
    Conflict,
    Forbidden,
    Invalid,
    PilothouseError,
    RateLimit,
    check_origin,
    current_principal,
    enter,
    local_path,
    needs,
    proving,
    refuse,
    runtime,
    unit_of_work,
)
from pilothouse_factors import ceremonies, service

TRIES = RateLimit(10, 600)  # codes of one person: a million codes, three of which are right at a time
PASSKEY_TRIES = RateLimit(60, 600)  # of one network address


def blueprint() -> Blueprint:
    """Make the blueprint."""
    bp = Blueprint("factors_entrance", __name__)
    for path, handler, method in (
        ("/factors/passkey", ask_passkey, "GET"),
        ("/factors/passkey", use_passkey, "POST"),
        (service.CONFIRM, ask_code, "GET"),
        (service.CONFIRM, use_code, "POST"),
    ):
        bp.add_url_rule(path, handler.__name__, _open_to_all(handler), methods=[method])
    return bp


def _open_to_all(handler: Callable[[], Any]) -> Any:
    @needs(PUBLIC)
    def view() -> Any:
        response = make_response(handler())
        response.headers["Cache-Control"] = "no-store"
        return response

    return view


def ask_passkey() -> Response:
    """Let the browser use a passkey."""
    options, challenge = ceremonies.to_use()
    page = render_template("factors/passkey.html", options=options, next_path=_next(), fault="")
    response = make_response(page)
    ceremonies.keep(response, challenge, "use")
    return response


def use_passkey() -> Response:
    """Sign in with the passkey's answer, or say why not."""
    check_origin()
    runtime().limiter.hit("factors.passkey", request.remote_addr or "", PASSKEY_TRIES)
    try:
        with unit_of_work():
            token = service.enter_by_passkey(request.form.get("answer", ""))
    except (Conflict, Forbidden) as fault:
        refuse("factors.sign_in_refused", "", reason=fault.detail)
        return _again(fault)
    return enter(token, _next())


def _again(fault: PilothouseError) -> Response:
    options, challenge = ceremonies.to_use()
    page = render_template("factors/passkey.html", options=options, next_path=_next(), fault=fault.detail)
    response = make_response(page, fault.status)
    ceremonies.keep(response, challenge, "use")
    return response


def ask_code() -> Any:
    """Ask for a code: of a session that waits for it, or before a dangerous act."""
    if _asked() is None:
        return redirect(f"/login?next={quote(_next(), safe='/')}", HTTPStatus.SEE_OTHER)
    return render_template("factors/confirm.html", next_path=_next(), possible=ceremonies.possible(), fault="")


def use_code() -> Any:
    """Take a code, and go on to where the person was going."""
    check_origin()
    asked = _asked()
    if asked is None:
        return redirect(f"/login?next={quote(_next(), safe='/')}", HTTPStatus.SEE_OTHER)
    user_id, session_id = asked
    runtime().limiter.hit("factors.code", user_id, TRIES)
    try:
        with unit_of_work():
            service.prove(user_id, session_id, request.form.get("code", "")[:100])
    except Invalid:
        refuse("factors.code_refused", user_id)
        page = render_template(
            "factors/confirm.html",
            next_path=_next(),
            possible=ceremonies.possible(),
            fault="This code is wrong, or was used before.",
        )
        return page, HTTPStatus.UNPROCESSABLE_ENTITY
    return redirect(_next(), HTTPStatus.SEE_OTHER)


def _asked() -> tuple[str, str] | None:
    """Return whose code is wanted for which session; None where nobody is signed in, half or wholly."""
    principal = current_principal()
    if principal is not None and principal.session_id is not None and principal.user_id is not None:
        return principal.user_id, principal.session_id
    half = proving.waiting(request)
    return (half.user_id, half.id) if half is not None else None


def _next() -> str:
    return local_path(request.values.get("next"))
