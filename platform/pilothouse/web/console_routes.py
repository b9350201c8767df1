"""The console's own small routes below `/-/`: preferences, saved views, the palette, reports of CSP violations."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from flask import Blueprint, Flask, Response, request

from pilothouse.access import PUBLIC
from pilothouse.db import unit_of_work
from pilothouse.errors import Invalid
from pilothouse.identity.next_path import local_path
from pilothouse.identity.principal import require
from pilothouse.runtime import runtime
from pilothouse.web import palette, saved_views
from pilothouse.web.console_base import needs, refuse_nul
from pilothouse.web.limits import Limit
from pilothouse.web.live import done
from pilothouse.web.prefs import CHOICES, remember

LONGEST_REPORT = 4_000  # bytes
REPORTS = Limit(60, 600)  # of one network address


def init_routes(app: Flask) -> None:
    """Add the routes; each states its permission."""
    blueprint = Blueprint("console", __name__)
    _add(blueprint, "POST", "/-/preferences", set_preferences, PUBLIC)
    _add(blueprint, "GET", "/-/palette", search, "core.console.view")
    _add(blueprint, "POST", "/-/views", save_view, "core.self.manage")
    _add(blueprint, "POST", "/-/views/<view_id>/delete", delete_view, "core.self.manage")
    _add(blueprint, "POST", "/-/csp", note_violation, PUBLIC)
    app.register_blueprint(blueprint)


def _add(blueprint: Blueprint, method: str, path: str, handler: Callable[..., Any], permission: str) -> None:
    @needs(permission)
    def route(**arguments: Any) -> Any:
        if permission != PUBLIC:
            require(permission)
        refuse_nul()
        return handler(**arguments)

    blueprint.add_url_rule(path, handler.__name__, route, methods=[method])


def set_preferences() -> Response:
    """Keep a choice in this browser and go back to where it was made. Works without a script."""
    response = Response(status=HTTPStatus.SEE_OTHER, headers={"Location": _back()})
    name = next((name for name in CHOICES if name in request.form), "")
    if not remember(response, name, request.form.get(name, "")):
        raise Invalid(f"Choose one of {', '.join(CHOICES)} and one of its values.")
    return response


def search() -> Response:
    """Find what the palette was asked for."""
    groups = palette.find(request.args.get("q", ""), require("core.console.view"))
    return Response(json.dumps(groups), mimetype="application/json")


def save_view() -> Response:
    """Save the filters of a page under a name."""
    principal, form = require("core.self.manage"), request.form
    with unit_of_work():
        row = saved_views.save(
            principal, form.get("page", ""), form.get("name", ""), form.get("query", ""), shared=form.get("shared") == "1"
        )
    return done(f"Saved the view {row.name}", _back())


def delete_view(view_id: str) -> Response:
    """Delete one of the reader's own views."""
    with unit_of_work():
        row = saved_views.delete(require("core.self.manage"), view_id)
    return done(f"Deleted the view {row.name}", _back())


def note_violation() -> Response:
    """Log what a browser refused to run or load; stores nothing. Anybody may send one: few and short ones are read."""
    runtime().limiter.hit("csp", request.remote_addr or "", REPORTS)
    body = request.stream.read(LONGEST_REPORT).decode("utf-8", "replace")
    structlog.get_logger("pilothouse.web").warning("content security policy violated", report=body)
    return Response(status=HTTPStatus.NO_CONTENT)


def _back() -> str:
    """Return the local page that the form was on, by its Referer."""
    own = request.host_url.rstrip("/")
    referrer = request.referrer or ""
    return local_path(referrer.removeprefix(own) if referrer.startswith(own + "/") else "/")
