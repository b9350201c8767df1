"""The OpenAPI 3.1 document, made from the routes themselves: permission, parameters, bodies, answers, documentation."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, get_args, get_type_hints

import msgspec
from flask import Flask, Response

from pilothouse.access import PUBLIC, Permission
from pilothouse.signals import Deadline, Millis
from pilothouse.web.api import ApiBlueprint, Operation

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
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body within 24 hours get the first answer again; another body gets 409.",
    "schema": {"type": "string", "maxLength": 255},
}
_FAULTS = {
    "400": "Malformed", "401": "Not signed in", "403": "Not allowed", "404": "Not found", "409": "Conflict",
    "413": "Too large", "415": "Unsupported media type", "422": "Invalid fields", "429": "Over the limit; see Retry-After",
    "503": "A store is away; see Retry-After", "507": "The disk is full",
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
    types = [t for *_, operation in found for t in (_body_type(operation), _answer_type(operation)) if t is not None]
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_schema_hook, ref_template="#/components/schemas/{name}"
    )
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    titles = {part.tag: part.title for part in app.blueprints.values() if isinstance(part, ApiBlueprint)}
    paths: dict[str, Any] = {}
    for path, method, endpoint, operation in found:
        paths.setdefault(path, {})[method.lower()] = _describe(path, endpoint, operation, by_type, permissions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pilothouse", "version": version, "description": "The operations console for AI workflows."},
        "servers": [{"url": server}],
        "tags": [{"name": tag, "description": title} for tag, title in sorted(titles.items())],
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
        "parameters": [*_path_parameters(path), *_query_parameters(operation.query), *([_KEY] if operation.idempotent else [])],
        "responses": _responses(operation, schemas),
        "security": [] if operation.permission == PUBLIC else [{"token": []}, {"session": []}],
    }
    body = _body_type(operation)
    if body is not None:
        content = {"application/json": {"schema": schemas[repr(body)]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _words(operation: Operation, permissions: Mapping[str, Permission]) -> str:
    permission = permissions.get(operation.permission)
    who = (
        "Open to everyone."
        if permission is None
        else (f"Permission `{permission.name}` ({', '.join(sorted(permission.roles))}); token scope `{permission.scope}`.")
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


def _body_type(operation: Operation) -> Any:
    return operation.body if operation.documents is None else operation.documents


def _answer_type(operation: Operation) -> Any:
    return None if operation.returns in {None, type(None), Any, Response} else operation.returns


@functools.cache
def described(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return a twin of a Struct for its schema: what passes through as raw JSON may be anything there."""
    hints = get_type_hints(kind, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        shape = (field.encode_name, _plain(hints[field.name]))
        value = None if isinstance(field.default, msgspec.Raw) else field.default
        # typed as if one excluded the other; NODEFAULT stands for the one that is not set
        default: Any = msgspec.field(default=value, default_factory=field.default_factory)  # type: ignore[call-overload]
        fields.append(shape if field.required else (*shape, default))
    config: Any = kind.__struct_config__
    about = {"__doc__": kind.__doc__, "__module__": kind.__module__}
    return msgspec.defstruct(
        kind.__name__, fields, tag_field=config.tag_field, tag=config.tag, kw_only=True, namespace=about, module=kind.__module__
    )


def _plain(hint: Any) -> Any:
    if hint is msgspec.Raw:
        return Any
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return described(hint)
    if isinstance(hint, UnionType):
        return functools.reduce(operator.or_, (_plain(kind) for kind in get_args(hint)))
    return hint


def _schema_hook(kind: type) -> dict[str, Any]:
    if kind in {Millis, Deadline}:
        text = "RFC 3339 with an offset, or Unix milliseconds"
        return {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}], "description": text}
    return {}
