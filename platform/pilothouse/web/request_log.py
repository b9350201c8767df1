"""One log line a request."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, Response, g, request
from flask.signals import got_request_exception

from pilothouse import logs
from pilothouse.faults import describe, where
from pilothouse.web.problems import request_id

BEGUN = "pilothouse_begun"
QUIET = ("/healthz", "/static")  # asked every few seconds by machines, or once a page by browsers


def init_request_log(app: Flask) -> None:
    """Log each answered request: method, route, status, duration in ms and request id.

    The route's pattern is logged, not the path: a path may hold a sign-in token.
    """
    app.before_request(_begin)
    app.after_request(_end)
    got_request_exception.connect(_failed, app)


def _begin() -> None:
    setattr(g, BEGUN, time.perf_counter())


def _end(response: Response) -> Response:
    rule = request.url_rule.rule if request.url_rule is not None else "(no route)"
    if rule.startswith(QUIET) and response.status_code < 400:  # noqa: PLR2004 - client and server errors start there
        return response
    begun = getattr(g, BEGUN, None)
    spent = None if begun is None else round((time.perf_counter() - begun) * 1000, 1)
    logs.get("web").info(
        "request", method=request.method, route=rule, status=response.status_code, duration_ms=spent,
        request_id=request_id(),
    )  # fmt: skip
    return response


def _failed(_app: Flask, exception: BaseException, **_: Any) -> None:
    logs.get("web").error(
        "request_failed", error=describe(exception), where=where(exception), request_id=request_id()
    )
