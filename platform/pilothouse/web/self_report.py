"""Requests as signals: every request of people and programs is an event, every failed one an error too.

Left out is what would drown the rest or report itself: signals coming in, polls that found nothing, assets, health checks.
"""

from __future__ import annotations

import time
from http import HTTPStatus

from flask import Flask, Response, g, request
from flask.signals import got_request_exception

from pilothouse import clock
from pilothouse.identity.principal import current_principal
from pilothouse.runtime import runtime
from pilothouse.self_report import failure
from pilothouse.signals import Event, raw

BEGUN = "pilothouse_reported"
SILENT = ("/static", "/-/", "/healthz", "/readyz", "/metrics", "/api/ingest", "/v1/", "/otlp/", "/gateway/", "/favicon")


def init_self_report(app: Flask) -> None:
    """Report each request of the application."""
    app.before_request(_begin)
    app.after_request(_end)
    got_request_exception.connect(_failed, app)


def _begin() -> None:
    setattr(g, BEGUN, time.perf_counter())


def _end(response: Response) -> Response:
    begun = g.pop(BEGUN, None)
    rule = request.url_rule.rule if request.url_rule is not None else None
    if begun is None or rule is None or rule.startswith(SILENT) or response.status_code == HTTPStatus.NOT_MODIFIED:
        return response
    if request.headers.get("X-Ph-Fragment") or request.headers.get("Sec-Purpose", "").startswith("prefetch"):
        return response
    principal = current_principal()
    runtime().reporter.add(
        Event(
            id=clock.new_id(),
            name=f"{request.method} {rule}"[:255],
            component="pilothouse.api" if rule.startswith("/api/") else "pilothouse.console",
            user=principal.user_id if principal and principal.session_id else None,  # a program is nobody who takes part
            session=principal.session_id if principal else None,
            duration_ms=round((time.perf_counter() - begun) * 1000, 3),
            ok=response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR,
            at=clock.now(),
            properties=raw({"status": response.status_code, "request_id": response.headers.get("X-Request-Id")}),
        )
    )
    return response


def _failed(_app: Flask, exception: BaseException, **_: object) -> None:
    rule = request.url_rule.rule if request.url_rule is not None else request.path[:100]
    runtime().reporter.add(failure(exception, workflow=f"pilothouse {request.method} {rule}"[:255], handled=False))
