"""The OpenAPI document as people read it: operations by tag, fields as rows, a `curl` line for this server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEPTH = 3  # levels of nested fields that a table shows; deeper ones are named by their type
METHODS = ("get", "post", "put", "patch", "delete")
TONES = {"get": "run", "post": "ok", "put": "warn", "patch": "warn", "delete": "bad"}


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field: its name, how deep it is nested, its type in words, whether it is required, what it is for."""

    name: str
    depth: int
    kind: str
    required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, ready to be shown."""

    id: str
    method: str
    tone: str
    path: str
    summary: str
    words: str
    parameters: list[FieldRow]
    body: list[FieldRow]
    answer: list[FieldRow]
    status: str
    curl: str


@dataclass(frozen=True, slots=True)
class Group:
    """The operations of one tag."""

    tag: str
    title: str
    operations: list[Operation]


def documented_groups(document: Mapping[str, Any]) -> list[Group]:
    """Return the document's operations by tag, in the order of their titles."""
    found: dict[str, list[Operation]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                found.setdefault(tag, []).append(_operation(document, path, method, item[method]))
    titles = {tag["name"]: tag["description"] for tag in document["tags"]}
    groups = [Group(tag, titles.get(tag, tag), operations) for tag, operations in found.items()]
    return sorted(groups, key=lambda group: group.title.casefold())


def _operation(document: Mapping[str, Any], path: str, method: str, spec: Mapping[str, Any]) -> Operation:
    status = next((code for code in spec.get("responses", {}) if code.startswith("2")), "200")
    body, answer = _schema(spec.get("requestBody")), _schema(spec.get("responses", {}).get(status))
    return Operation(
        id=f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""), method=method.upper(),
        tone=TONES[method], path=path, summary=spec.get("summary", ""), words=spec.get("description", ""),
        parameters=[_parameter(document, one) for one in spec.get("parameters", [])],
        body=field_rows(document, body), answer=field_rows(document, answer), status=status,
        curl=curl(document, path, method, spec),
    )  # fmt: skip


def _schema(part: Mapping[str, Any] | None) -> Mapping[str, Any]:
    content = (part or {}).get("content", {})
    found: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    return found


def _parameter(document: Mapping[str, Any], spec: Mapping[str, Any]) -> FieldRow:
    schema = spec.get("schema", {})
    words = spec.get("description") or _resolved(document, schema).get("description", "")
    return FieldRow(spec["name"], 0, kind_of(document, schema), bool(spec.get("required")), words)


def field_rows(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> list[FieldRow]:
    """Return the fields of a schema, nested ones below their parent."""
    schema = _resolved(document, schema)
    if schema.get("type") == "array":
        return field_rows(document, schema.get("items", {}), depth)
    rows: list[FieldRow] = []
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        inner = _resolved(document, field)
        rows.append(FieldRow(name, depth, kind_of(document, field), name in required, inner.get("description", "")))
        if depth + 1 < DEPTH:
            rows += field_rows(document, _inside(document, field), depth + 1)
    return rows


def _inside(document: Mapping[str, Any], field: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one object that a field can hold; nothing where there are several kinds."""
    schema = _resolved(document, field)
    options = [one for one in schema.get("anyOf", schema.get("oneOf", ())) if one.get("type") != "null"]
    if options:
        return _resolved(document, options[0]) if len(options) == 1 else {}
    return schema if schema.get("type") in {"object", "array"} else {}


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    seen = 0
    while "$ref" in schema and seen < DEPTH:
        name = schema["$ref"].rsplit("/", 1)[-1]
        schema = document["components"]["schemas"].get(name, {})
        seen += 1
    return schema


def kind_of(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Say what a schema holds: `string`, `integer, 1 to 500`, `list of Step`, `low | high`, `string or null`."""
    if "$ref" in schema:
        name = str(schema["$ref"].rsplit("/", 1)[-1])
        target = _resolved(document, schema)
        return name if target.get("type") == "object" else kind_of(document, target)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(kind_of(document, one) for one in schema[choice]))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind_of(document, schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any") + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    if high is None:
        return ""
    unit = " characters" if "maxLength" in schema else ""
    return f", {low} to {high}{unit}" if low is not None else f", at most {high}{unit}"


def curl(document: Mapping[str, Any], path: str, method: str, spec: Mapping[str, Any]) -> str:
    """Write the call as a shell line, with this server's address and the least body that is valid."""
    server = document.get("servers", [{"url": ""}])[0]["url"]
    lines = [f"curl {'-X ' + method.upper() + ' ' if method != 'get' else ''}{server}{path}"]
    if spec.get("security"):
        lines.append('  -H "Authorization: Bearer $PILOTHOUSE_TOKEN"')
    schema = _schema(spec.get("requestBody"))
    if schema:
        lines += ['  -H "Content-Type: application/json"', f"  -d '{json.dumps(example(document, schema))}'"]
    return " \\\n".join(lines)


def example(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Any:
    """Make the least value that a schema takes: required fields only, the first of several kinds."""
    schema = _resolved(document, schema)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return example(document, schema[choice][0], depth)
    if "const" in schema or "enum" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    kind = schema.get("type")
    if kind == "object" and depth < DEPTH:
        fields = schema.get("properties", {})
        return {name: example(document, fields.get(name, {}), depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        return [example(document, schema.get("items", {}), depth + 1)] if depth < DEPTH else []
    plain = {"string": "...", "integer": 1, "number": 1.0, "boolean": True, "object": {}}
    return plain.get(str(kind), "...")
