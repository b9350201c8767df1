"""Answers to faults: RFC 9457 problem documents below /api and for programs, styled pages for people.

No answer shows a stack trace, SQL or a secret. Each carries the request's id, which the log line carries too.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from flask import Flask, Response, redirect, render_template, request
from flask.signals import got_request_exception
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from pilothouse import clock, logs
from pilothouse.db import explain
from pilothouse.errors import Invalid, PilothouseError, ProofWanted
from pilothouse.faults import describe as describe_fault
from pilothouse.faults import where
from pilothouse.identity.next_path import local_path
from pilothouse.runtime import application

TYPE_BASE = "https://pilothouse.dev/problems/"
RETRIED = frozenset({429, 503})  # answers that say when to try again
RETRY_S = 5
CODES = {
    400: "malformed", 401: "not_signed_in", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 408: "timeout", 409: "conflict", 413: "too_large", 415: "unsupported_media_type", 422: "invalid",
    429: "rate_limited", 500: "internal", 503: "store_away",
}  # fmt: skip


def init_problems(app: Flask) -> None:
    """Give every request an id and every fault its answer."""
    app.before_request(_start)
    app.after_request(_finish)
    app.register_error_handler(PilothouseError, answer)
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(Exception, answer)


def request_id() -> str:
    """Return the id of the running request."""
    return str(request.environ.setdefault("pilothouse.request_id", clock.new_id()))


def wants_json() -> bool:
    """Say whether the caller is a program: everything below /api and every door, or whoever prefers JSON."""
    if request.path.startswith(("/api/", "/v1/", "/otlp/", "/gateway/", "/metrics", "/healthz", "/readyz")):
        return request.path != "/api/docs"
    best = request.accept_mimetypes.best_match(["text/html", "application/json", "application/problem+json"], "text/html")
    return best != "text/html"


def answer(fault: Exception) -> Response:
    """Turn a fault into its answer; unknown ones are told to whoever logs and reports them, and answered with 500."""
    if isinstance(fault, HTTPException) and fault.response is not None and (fault.code or 500) < HTTPStatus.BAD_REQUEST:
        return fault.response  # type: ignore[return-value]  # typed as werkzeug's, made by Flask
    if isinstance(fault, HTTPException) and fault.code in {301, 302, 303, 307, 308}:
        return fault.get_response()  # type: ignore[return-value]  # the same
    if is_defect(fault):
        # Flask sends its signal only for faults that have no handler, and this is one
        got_request_exception.send(application(), _async_wrapper=application().ensure_sync, exception=fault)
    if isinstance(fault, ProofWanted) and not wants_json():
        again = f"/login?again=1&next={quote(came_from(), safe='/')}"
        return redirect(again, HTTPStatus.SEE_OTHER)  # type: ignore[return-value]  # the same
    document, headers = describe(fault)
    if wants_json():
        response = Response(msgspec.json.encode(document), document["status"], content_type="application/problem+json")
    else:
        response = _page(document, headers.get("Retry-After"))
    response.headers.update(headers)
    return response


def came_from() -> str:
    """Return the page whose form was sent, or the page itself; the home page where neither is known."""
    if request.method == "GET":
        return local_path(request.full_path.rstrip("?"))
    parts = urlsplit(request.referrer or "")
    return local_path(f"{parts.path}{'?' if parts.query else ''}{parts.query}")


def is_defect(fault: BaseException) -> bool:
    """Say whether a fault is neither an answer on purpose nor an outage: somebody has to look at the log."""
    if isinstance(fault, PilothouseError):
        return fault.status == HTTPStatus.INTERNAL_SERVER_ERROR
    return not isinstance(fault, HTTPException) and explain(fault) is None


def describe(fault: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a fault's problem document and headers."""
    outage = explain(fault)
    fault = outage or fault
    if isinstance(fault, HTTPException):
        status = fault.code or 500
        headers = {"Allow": ", ".join(sorted(fault.valid_methods or ()))} if isinstance(fault, MethodNotAllowed) else {}
        title = HTTPStatus(status).phrase
        return _document(CODES.get(status, "http"), title, status, fault.description or title), headers
    if not isinstance(fault, PilothouseError):
        return _document("internal", "Internal error", 500, "Something failed here; the log has the reason."), {}
    document = _document(fault.code, fault.title, fault.status, fault.detail)
    if isinstance(fault, Invalid):
        document["errors"] = msgspec.to_builtins(fault.errors)
    headers = {}
    if fault.retry_after is not None or fault.status in RETRIED:
        headers["Retry-After"] = str(RETRY_S if fault.retry_after is None else fault.retry_after)
    if fault.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="Pilothouse"'
    return document, headers


def _document(code: str, title: str, status: int, detail: str) -> dict[str, Any]:
    return {"type": TYPE_BASE + code, "title": title, "status": status, "detail": detail, "request_id": request_id()}


def _page(document: dict[str, Any], retry_after: str | None) -> Response:
    try:
        return Response(render_template("ph/error.html", problem=document, retry_after=retry_after), document["status"])
    except Exception as fault:  # noqa: BLE001 - the error page itself failed (the database is away): plain text still answers
        logs.get("web").error("error_page_failed", request_id=request_id(), error=describe_fault(fault), where=where(fault))
        text = f"{document['status']} {document['title']}\n{document['detail']}\nRequest {document['request_id']}\n"
        return Response(text, document["status"], content_type="text/plain; charset=utf-8")


def _start() -> None:
    request_id()


def _finish(response: Response) -> Response:
    response.headers.setdefault("X-Request-Id", request_id())  # an answer passed on from elsewhere has its own
    return response
