"""The API layer: typed routes that state their permission, with problem answers, conditional GETs and OpenAPI.

    bp = ApiBlueprint("weather")

    @bp.get("/weather/stations", permission="weather.reports.view")
    def list_stations(query: StationQuery) -> Page[Station]:
        \"\"\"List the stations.

        Newest first.
        \"\"\"

A handler's parameters are path parameters by name, `query` and `body` (Structs), and nothing else. Its return
annotation is the answer's schema; its docstring is the documentation. POST, PUT, PATCH and DELETE run in a unit of work.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_type_hints

import msgspec
from flask import Blueprint, Response, request

from pilothouse.access import PUBLIC
from pilothouse.db import unit_of_work
from pilothouse.errors import NotFound, UnsupportedMedia
from pilothouse.identity.principal import current_principal
from pilothouse.web.bodies import API_LIMIT, read_body
from pilothouse.web.conditional import etag_of, tagged, unchanged
from pilothouse.web.doors import require_for
from pilothouse.web.idempotency import remembered
from pilothouse.web.parsing import convert, decode_json, read_query

Topics = tuple[str, ...] | Callable[[], tuple[str, ...]]  # a function where they depend on who is calling

JSON_TYPES = ("application/json", "")


@dataclass(frozen=True, slots=True)
class Operation:
    """What is known of one route; the OpenAPI document and the permission matrix are made from it."""

    permission: str
    summary: str
    description: str
    query: type | None
    body: type | None
    returns: Any
    status: int
    topics: Topics = ()
    limit: int = API_LIMIT
    idempotent: bool = False
    documents: Any = None


class ApiBlueprint(Blueprint):
    """A blueprint whose routes lie below /api and state their permission; its name starts with its plugin's."""

    def __init__(self, name: str, *, prefix: str = "/api", title: str = "") -> None:
        """Make the blueprint `<name>` with endpoints `<name>_api.<function>`; `title` heads them in the documentation."""
        super().__init__(f"{name}_api", "pilothouse.web.api", url_prefix=prefix)
        self.tag, self.title = name, title or name.replace("_", " ").capitalize()

    def operation(
        self,
        method: str,
        path: str,
        *,
        permission: str,
        status: int = 200,
        topics: Topics = (),
        transaction: bool = True,
        idempotent: bool | None = None,
        limit: int = API_LIMIT,
        documents: Any = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Add a route. `topics` make a GET conditional; `transaction=False` leaves the unit of work to the handler.

        A POST takes an Idempotency-Key where it has a transaction, or as `idempotent` says: then it runs inside of one
        whenever a key comes. `limit` is that of the body in bytes. `documents` is the type of a body that the handler
        reads in its own way.
        """

        def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
            remembers = method == "POST" and (transaction if idempotent is None else idempotent)
            more = {"limit": limit, "idempotent": remembers, "documents": documents}
            described = _describe(handler, permission, status, topics, **more)
            view = _view(handler, described, unsafe=method != "GET" and transaction)
            view.permission = permission
            view.operation = described
            self.add_url_rule(path, f"{handler.__name__}", view, methods=[method], strict_slashes=False, merge_slashes=False)
            return handler

        return decorate

    def get(self, rule: str, **options: Any) -> Any:
        """Add a GET route."""
        return self.operation("GET", rule, **options)

    def post(self, rule: str, **options: Any) -> Any:
        """Add a POST route."""
        return self.operation("POST", rule, **options)

    def put(self, rule: str, **options: Any) -> Any:
        """Add a PUT route."""
        return self.operation("PUT", rule, **options)

    def patch(self, rule: str, **options: Any) -> Any:
        """Add a PATCH route."""
        return self.operation("PATCH", rule, **options)

    def delete(self, rule: str, **options: Any) -> Any:
        """Add a DELETE route; answers 204."""
        return self.operation("DELETE", rule, **{"status": 204, **options})


def _describe(handler: Callable[..., Any], permission: str, status: int, topics: Topics, **options: Any) -> Operation:
    hints = _hints(handler)
    summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n")
    types = (hints.get("query"), hints.get("body"), hints.get("return"))
    return Operation(permission, summary, description.strip(), *types, status, topics, **options)


@functools.cache
def _hints(handler: Callable[..., Any]) -> dict[str, Any]:
    """Evaluate a handler's annotations, once: that was a tenth of what an application costs."""
    return get_type_hints(handler, include_extras=True)


def _view(handler: Callable[..., Any], operation: Operation, *, unsafe: bool) -> Any:
    run = _in_transaction if unsafe else _answer

    @functools.wraps(handler)
    def view(**path: Any) -> Response:
        if operation.permission != PUBLIC:
            require_for(operation.permission)
        if any("\0" in str(value) for value in path.values()):
            raise NotFound  # nothing that is stored holds NUL, and PostgreSQL takes no question with it
        if operation.topics:
            principal = current_principal()
            topics = operation.topics() if callable(operation.topics) else operation.topics
            etag = etag_of(topics, principal.id if principal else "", principal.role if principal else "")
            response = unchanged(etag)
            return response or tagged(run(handler, operation, path), etag)
        if operation.idempotent:
            return remembered(lambda: run(handler, operation, path), operation.limit)
        return run(handler, operation, path)

    return view


def _answer(handler: Callable[..., Any], operation: Operation, path: dict[str, Any]) -> Response:
    return serialise(_call(handler, operation, path), operation.status)


def _in_transaction(handler: Callable[..., Any], operation: Operation, path: dict[str, Any]) -> Response:
    with unit_of_work():
        return _answer(handler, operation, path)


def _call(handler: Callable[..., Any], operation: Operation, path: dict[str, Any]) -> Any:
    arguments = dict(path)
    if operation.query is not None:
        arguments["query"] = read_query(request.args.to_dict(flat=False), operation.query)
    if operation.body is not None:
        arguments["body"] = convert(read_json(operation.limit), operation.body)
    return handler(**arguments)


def read_json(limit: int = API_LIMIT) -> Any:
    """Read the request's JSON body. Raises UnsupportedMedia for other types, Malformed, TooLarge."""
    if request.mimetype not in JSON_TYPES:
        raise UnsupportedMedia(f"Content-Type {request.mimetype[:60]!r} is not read here; send application/json.")
    body = read_body(limit)
    return decode_json(body) if body.strip() else {}


def serialise(result: Any, status: int = 200) -> Response:
    """Turn a handler's result into the answer; a Response passes through, nothing becomes 204."""
    if isinstance(result, Response):
        return result
    if status == HTTPStatus.NO_CONTENT:
        return Response(status=status)
    return Response(msgspec.json.encode(result), status, content_type="application/json")
