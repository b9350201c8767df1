"""Hangs identity onto the Flask application: who is calling, CSRF, limits, headers, the sign-in pages and their API."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Flask, Response, g
from flask_login import LoginManager, current_user

from pilothouse.access import Principal
from pilothouse.audit import ACTING
from pilothouse.db import unit_of_work
from pilothouse.errors import StoreAway
from pilothouse.identity import pages
from pilothouse.identity.access_tokens import touch_token
from pilothouse.identity.principal import TOUCH, Resolver
from pilothouse.identity.refusals import RefusalLog
from pilothouse.identity.sessions import touch_session
from pilothouse.web.csrf import init_csrf
from pilothouse.web.headers import init_headers
from pilothouse.web.limits import init_limits

TOUCH_WAIT_MS = 20  # when somebody was last seen is worth no wait for another writer; the next request tries again


class Sessions(LoginManager):
    """Flask-Login over our own sessions: they live in the database, so there is no cookie to remember anybody by."""

    def _update_remember_cookie(self, response: Response) -> Response:
        return response  # looking into Flask's session here would add `Vary: Cookie` to each static file


def init_identity(app: Flask) -> None:
    """Add signing in and its pages; called once, after the database and before the routes of plugins."""
    app.before_request(_forget)
    manager: Any = Sessions()  # type: ignore[no-untyped-call]  # Flask-Login has no types
    manager.session_protection = None  # it guards Flask's own session, which holds nobody here
    manager.request_loader(Resolver())
    # its context processor would ask the database for every page, error pages included; the proxy asks when it is used
    manager.init_app(app, add_context_processor=False)
    app.jinja_env.globals["current_user"] = current_user
    init_headers(app)
    init_limits(app)
    init_csrf(app)
    app.after_request(RefusalLog())
    app.after_request(note_use)
    app.register_blueprint(pages.blueprint())


def _forget() -> None:
    # an application context that outlives a request (commands, tests) must not pass on who made the last one
    for name in ("_login_user", ACTING, TOUCH):
        g.pop(name, None)


def note_use(response: Response) -> Response:
    """Note once a minute that a session or token is in use, after the request's own work and without a wait."""
    principal: Principal | None = g.pop(TOUCH, None)
    if principal is not None:
        with suppress(StoreAway), unit_of_work(wait_ms=TOUCH_WAIT_MS):
            _touch(principal)
    return response


def _touch(principal: Principal) -> None:
    if principal.token_id is not None:
        touch_token(principal.token_id)
    elif principal.session_id is not None and principal.user_id is not None:
        touch_session(principal.session_id, principal.user_id)
