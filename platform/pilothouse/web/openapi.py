"""The OpenAPI 3.1 document, made from the routes themselves: permission, parameters, bodies, answers, documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import msgspec
from flask import Flask, Response

from pilothouse.access import PUBLIC, Permission
from pilothouse.signals import Deadline, Millis
from pilothouse.web.api import Operation

_PATH_PART = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_PROBLEM_REF = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `type` ends in a stable code.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"path": {"type": "string"}, "message": {"type": "string"}}},
        },
    },
}
_FAULTS = {
    "400": "Malformed", "401": "Not signed in", "403": "Not allowed", "404": "Not found", "409": "Conflict",
    "413": "Too large", "415": "Unsupported media type", "422": "Invalid fields", "429": "Over the limit",
}  # fmt: skip


def operations(app: Flask) -> Iterator[tuple[str, str, str, Operation]]:
    """Yield path, method, endpoint and operation of every documented route."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        operation = getattr(app.view_functions[rule.endpoint], "operation", None)
        if operation is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield _PATH_PART.sub(r"{\1}", rule.rule), method, rule.endpoint, operation


def openapi_document(app: Flask, permissions: Mapping[str, Permission], server: str, version: str) -> dict[str, Any]:
    """Make the document for this server's address."""
    found = list(operations(app))
    types = [t for *_, operation in found for t in (operation.body, _answer_type(operation)) if t is not None]
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_schema_hook, ref_template="#/components/schemas/{name}"
    )
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for path, method, endpoint, operation in found:
        paths.setdefault(path, {})[method.lower()] = _describe(path, endpoint, operation, by_type, permissions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pilothouse", "version": version, "description": "The operations console for AI workflows."},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An access token `ph_<kind>_...`"},
                "session": {"type": "apiKey", "in": "cookie", "name": "pilothouse_session"},
            },
        },
    }


def _describe(
    path: str, endpoint: str, operation: Operation, schemas: Mapping[str, Any], permissions: Mapping[str, Permission]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": endpoint.replace("_api.", "."),
        "tags": [endpoint.split("_api.", maxsplit=1)[0].split(".", maxsplit=1)[0]],
        "summary": operation.summary,
        "description": _words(operation, permissions),
        "parameters": [*_path_parameters(path), *_query_parameters(operation.query)],
        "responses": _responses(operation, schemas),
        "security": [] if operation.permission == PUBLIC else [{"token": []}, {"session": []}],
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[repr(operation.body)]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _words(operation: Operation, permissions: Mapping[str, Permission]) -> str:
    permission = permissions.get(operation.permission)
    who = "Open to everyone." if permission is None else (
        f"Permission `{permission.name}` ({', '.join(sorted(permission.roles))}); token scope `{permission.scope}`."
    )
    return f"{operation.description}\n\n{who}".strip()


def _responses(operation: Operation, schemas: Mapping[str, Any]) -> dict[str, Any]:
    answer = _answer_type(operation)
    done: dict[str, Any] = {"description": "Done"}
    if answer is not None:
        done["content"] = {"application/json": {"schema": schemas[repr(answer)]}}
    responses = {str(operation.status): done}
    if operation.topics:
        responses["304"] = {"description": "Unchanged since the ETag in If-None-Match"}
    return responses | {code: {"description": words, "content": _PROBLEM_REF} for code, words in _FAULTS.items()}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{([^}]+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(query: Any) -> list[dict[str, Any]]:
    if query is None:
        return []
    hints = get_type_hints(query, include_extras=True)
    parameters = []
    for field in msgspec.structs.fields(query):
        schema = msgspec.json.schema(hints[field.name], schema_hook=_schema_hook)
        parameters.append({"name": field.encode_name, "in": "query", "required": field.required, "schema": schema})
    return parameters


def _answer_type(operation: Operation) -> Any:
    return None if operation.returns in {None, type(None), Any, Response} else operation.returns


def _schema_hook(kind: type) -> dict[str, Any]:
    if kind in {Millis, Deadline}:
        text = "RFC 3339 with an offset, or Unix milliseconds"
        return {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}], "description": text}
    return {}
