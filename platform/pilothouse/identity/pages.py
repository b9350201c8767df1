"""The pages of signing in. They work without scripts; a GET never spends a link."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.routing import BuildError

from pilothouse.access import PUBLIC
from pilothouse.contract.pages import LoginMethod
from pilothouse.db import unit_of_work
from pilothouse.errors import Invalid, TooManyRequests
from pilothouse.identity import proving
from pilothouse.identity.asking import ask_for_link, visitor
from pilothouse.identity.cookies import browser_cookie, clear_session, keep_browser, session_cookie
from pilothouse.identity.entering import enter
from pilothouse.identity.magic_links import LIFETIME, look, redeem
from pilothouse.identity.next_path import local_path
from pilothouse.identity.principal import current_principal
from pilothouse.identity.refusals import refuse
from pilothouse.identity.sessions import sign_out
from pilothouse.identity.users import any_user
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.web.api import read_json
from pilothouse.web.console_base import needs
from pilothouse.web.csrf import check_origin

MINUTE = 60_000
STATUS = {
    "open": HTTPStatus.OK,
    "code_wanted": HTTPStatus.FORBIDDEN,
    "code_wrong": HTTPStatus.FORBIDDEN,
    "unknown": HTTPStatus.NOT_FOUND,
    "used": HTTPStatus.GONE,
    "expired": HTTPStatus.GONE,
    "ended": HTTPStatus.GONE,
}


def blueprint() -> Blueprint:
    """Make the blueprint."""
    bp = Blueprint("signin", __name__)
    _add(bp, "/login", login, "GET")
    _add(bp, "/login", ask, "POST")
    _add(bp, "/login/<token>", confirm, "GET")
    _add(bp, "/login/<token>", use, "POST")
    _add(bp, "/logout", leave, "POST")
    return bp


def _add(bp: Blueprint, path: str, view: Callable[..., Any], method: str) -> None:
    @needs(PUBLIC)
    def open_to_all(**arguments: Any) -> Any:
        return view(**arguments)

    bp.add_url_rule(path, view.__name__, open_to_all, methods=[method])


def login() -> Any:
    """Show the form that asks for the address, or go on where somebody is signed in."""
    next_path = local_path(request.args.get("next"))
    principal, half = current_principal(), proving.waiting(request)
    again = bool(request.args.get("again"))  # a dangerous act asks who is there, though somebody is signed in
    if principal is not None and not again:
        return redirect(next_path, HTTPStatus.SEE_OTHER)
    where = proving.demanded(half.user_id if half is not None else principal.user_id if principal is not None else None)
    if where is not None:
        return redirect(f"{where}?next={quote(next_path, safe='/')}", HTTPStatus.SEE_OTHER)
    return _form(next_path=next_path, again=again, email=principal.email if principal is not None else "")


def ask() -> Any:
    """Send a link and show the code that another browser asks for."""
    next_path = local_path(request.form.get("next"))
    email = request.form.get("email", "")
    try:
        asked = ask_for_link(email, next_path)
    except Invalid:
        return _form(422, next_path=next_path, email=email, problem="This is not an e-mail address.")
    except TooManyRequests as fault:
        page, status = _form(429, next_path=next_path, email=email, retry_after=fault.retry_after)
        return page, status, {"Retry-After": str(fault.retry_after)}
    page = render_template(
        "ph/login_sent.html", email=asked.email, code=asked.code, minutes=LIFETIME // MINUTE, next_path=next_path,
        mailed=bool(runtime().settings["PILOTHOUSE_SMTP_URL"]),
    )  # fmt: skip
    response = Response(page)
    keep_browser(response, asked.browser)
    return response


def _form(status: int = 200, **shown: Any) -> tuple[str, int]:
    known: dict[str, Any] = {"email": "", "again": False, "problem": "", "retry_after": None, "methods": _methods()}
    known["first_start"] = not any_user()
    return render_template("ph/login.html", **{**known, **shown}), status


def _methods() -> list[LoginMethod]:
    """Return the further ways to sign in."""
    return [method for plugin, method in runtime().registry.all("login_methods") if _is_offered(plugin, method)]


def _is_offered(plugin: str, method: LoginMethod) -> bool:
    """Say whether a way in is open; one that fails or leads nowhere must not close the page to everybody."""
    try:
        url_for(method.endpoint)
        if not is_enabled(plugin):
            return False
        return method.offered is None or bool(runtime().registry.guard.call(plugin, f"login {method.name}", method.offered))
    except (BuildError, PluginFailed):
        return False


def confirm(token: str) -> Any:
    """Show whose link it is and a button; asks for the code where the link came from another browser."""
    view = look(token, browser_cookie(request))
    return _confirm_page(view.state, view.email, needs_code=view.needs_code)


def use(token: str) -> Any:
    """Spend the link: sign in, or say why not."""
    check_origin()
    used = redeem(token, visitor(), _typed_code())
    if used.outcome == "signed_in":
        return enter(used.token, local_path(used.next_path))
    if used.outcome not in {"code_wanted", "unknown"}:
        refuse("identity.sign_in_refused", used.email, reason=used.outcome)
    return _confirm_page(used.outcome, used.email, needs_code=used.outcome.startswith("code"))


def _typed_code() -> str:
    if not request.is_json:
        return request.form.get("code", "")
    body = read_json()
    return str(body.get("code", "")) if isinstance(body, dict) else ""


def _confirm_page(state: str, email: str, *, needs_code: bool) -> tuple[str, int]:
    page = render_template(
        "ph/login_confirm.html",
        state="open" if state.startswith("code") else state,
        email=masked(email),
        needs_code=needs_code,
        wrong=state == "code_wrong",
    )
    return page, STATUS[state]


def masked(email: str) -> str:
    """Return an address of which only its owner knows the rest: `a***@example.com`."""
    name, _, host = email.partition("@")
    return f"{name[:1]}***@{host}" if host else ""


def leave() -> Any:
    """Sign out and show the sign-in page."""
    with unit_of_work():
        sign_out(session_cookie(request))
    response = redirect(url_for("signin.login"), HTTPStatus.SEE_OTHER)
    clear_session(response)  # type: ignore[arg-type]  # werkzeug types what it makes as its own class
    return response
