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
from pilothouse.errors import UnsupportedMedia
from pilothouse.identity.principal import current_principal, require
from pilothouse.web.bodies import API_LIMIT, read_body
from pilothouse.web.conditional import etag_of, tagged, unchanged
from pilothouse.web.idempotency import remembered
from pilothouse.web.parsing import convert, decode_json, read_query

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
    topics: tuple[str, ...] = ()


class ApiBlueprint(Blueprint):
    """A blueprint whose routes lie below /api and state their permission; its name starts with its plugin's."""

    def __init__(self, name: str, *, prefix: str = "/api") -> None:
        """Make the blueprint `<name>` with endpoints `<name>_api.<function>`."""
        super().__init__(f"{name}_api", "pilothouse.web.api", url_prefix=prefix)

    def operation(
        self,
        method: str,
        path: str,
        *,
        permission: str,
        status: int = 200,
        topics: tuple[str, ...] = (),
        transaction: bool = True,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Add a route. `topics` make a GET conditional; `transaction=False` leaves the unit of work to the handler."""

        def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
            described = _describe(handler, permission, status, topics)
            unsafe = method != "GET" and transaction
            view = _view(handler, described, unsafe=unsafe)
            view.permission = permission  # type: ignore[attr-defined]
            view.operation = described  # type: ignore[attr-defined]
            self.add_url_rule(path, f"{handler.__name__}", view, methods=[method], strict_slashes=False)
            return handler

        return decorate

    def get(self, path: str, **options: Any) -> Any:
        """Add a GET route."""
        return self.operation("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        """Add a POST route."""
        return self.operation("POST", path, **options)

    def put(self, path: str, **options: Any) -> Any:
        """Add a PUT route."""
        return self.operation("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Any:
        """Add a PATCH route."""
        return self.operation("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Any:
        """Add a DELETE route; answers 204."""
        return self.operation("DELETE", path, **{"status": 204, **options})


def _describe(handler: Callable[..., Any], permission: str, status: int, topics: tuple[str, ...]) -> Operation:
    hints = get_type_hints(handler, include_extras=True)
    summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n")
    return Operation(
        permission, summary, description.strip(), hints.get("query"), hints.get("body"), hints.get("return"), status, topics
    )


def _view(handler: Callable[..., Any], operation: Operation, *, unsafe: bool) -> Any:
    @functools.wraps(handler)
    def view(**path: Any) -> Response:
        if operation.permission != PUBLIC:
            require(operation.permission)
        if operation.topics:
            principal = current_principal()
            etag = etag_of(operation.topics, principal.id if principal else "", principal.role if principal else "")
            response = unchanged(etag)
            return response or tagged(serialise(_call(handler, operation, path), operation.status), etag)
        if not unsafe:
            return serialise(_call(handler, operation, path), operation.status)
        return remembered(lambda: _in_transaction(handler, operation, path))

    return view


def _in_transaction(handler: Callable[..., Any], operation: Operation, path: dict[str, Any]) -> Response:
    with unit_of_work():
        return serialise(_call(handler, operation, path), operation.status)


def _call(handler: Callable[..., Any], operation: Operation, path: dict[str, Any]) -> Any:
    arguments = dict(path)
    if operation.query is not None:
        arguments["query"] = read_query(request.args.to_dict(flat=False), operation.query)
    if operation.body is not None:
        arguments["body"] = convert(read_json(), operation.body)
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
