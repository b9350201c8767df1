"""What the tests of the OpenTelemetry door share: makers of spans, ways to send them, and what came of them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.conftest import token_of

from pilothouse.clock import now
from pilothouse.testing import Api, environment, let_go, make_app, serving

PROTOBUF = "application/x-protobuf"
BEGUN = now() - 600_000
NUMBERS = itertools.count(1)
Spans = Sequence[dict[str, Any]]


def trace_id() -> str:
    """Return a trace id that no other test has."""
    return f"{0xAB << 120 | next(NUMBERS):032x}"


def span_id(number: int | str) -> str:
    """Return a span id: of a number, or of a name."""
    return f"{number:016x}" if isinstance(number, int) else number.encode().hex().ljust(16, "0")[:16]


def span(
    name: str, trace: str, *, parent: str | None = None, start: int = 0, took: int | None = 10, **more: Any
) -> dict[str, Any]:
    """Make a span as OTLP's JSON has it; its id follows from its name. Times are in ms after BEGUN."""
    begun = BEGUN + start
    made = {
        "traceId": trace, "spanId": span_id(name), "name": name, "startTimeUnixNano": str(begun * 1_000_000),
        "attributes": attributes(more.pop("attributes", {})),
    }  # fmt: skip
    if took is not None:
        made["endTimeUnixNano"] = str((begun + took) * 1_000_000)
    if parent is not None:
        made["parentSpanId"] = span_id(parent)
    return {**made, **more}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Write attributes as OTLP's JSON has them."""
    return [{"key": key, "value": value_of(value)} for key, value in values.items()]


def value_of(value: Any) -> dict[str, Any]:
    """Write a value as OTLP's JSON has it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [value_of(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes(value)}}
    return {"stringValue": value}


def failed(message: str = "", *events: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a failed span."""
    return {"status": {"code": 2, "message": message}, "events": list(events)}


def exception(kind: str, message: str, stack: str = "") -> dict[str, Any]:
    """Make an exception event."""
    told = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
    return {"name": "exception", "timeUnixNano": str(now() * 1_000_000), "attributes": attributes(told)}


def request_of(spans: Spans, resource: dict[str, Any] | None = None, scope: str = "test") -> dict[str, Any]:
    """Make a trace request."""
    told = attributes({"service.name": "order-desk"} if resource is None else resource)
    scoped = {"scope": {"name": scope}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": told}, "scopeSpans": [scoped]}]}


def llm(tokens: tuple[int, int] = (100, 10), **more: Any) -> dict[str, Any]:
    """Return the attributes of a model call."""
    prompt, completion = tokens
    return {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.output_tokens": completion, **more,
    }  # fmt: skip


class Door:
    """The server as an exporter sees it, and as a person sees what came of it."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self.api = Api(client, token)

    def export(self, *spans: dict[str, Any], path: str = "/v1/traces", **options: Any) -> Any:
        """Send spans as JSON and return the answer."""
        return self.api.post(path, json=request_of(spans, **options))

    def post(self, body: bytes, path: str = "/v1/traces", content_type: str = PROTOBUF, **headers: str) -> Any:
        """Send a body as it is."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.api.post(path, data=body, content_type=content_type, headers=told)

    def execution(self, key: str) -> Any:
        """Return an execution with all that belongs to it."""
        answer = self.api.get(f"/api/executions/{key}")
        assert answer.status_code == 200, answer.text
        return answer.json

    def executions(self) -> list[Any]:
        """Return all executions that were reported from outside."""
        found = self.api.get("/api/executions?limit=500").json["data"]
        return [execution for execution in found if execution["environment"] != "pilothouse"]

    def knows(self, key: str) -> bool:
        """Say whether there is an execution of the id."""
        return bool(self.api.get(f"/api/executions/{key}").status_code == 200)

    def steps(self, key: str) -> dict[str, Any]:
        """Return the steps of an execution by name."""
        return {step["name"]: step for step in self.execution(key)["steps"]}

    def errors(self) -> list[Any]:
        """Return all errors."""
        return list(self.api.get("/api/errors?limit=500").json["data"])

    def tokens(self, key: str) -> tuple[int, int, int]:
        """Return calls, prompt and completion tokens of an execution."""
        usage = self.execution(key)["token_usage"]
        return usage["calls"], usage["prompt_tokens"], usage["completion_tokens"]


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application without what other tests stored."""
    return restored_app


@pytest.fixture
def either_app(restored_either_app: Flask) -> Flask:
    """Return the module's application on either database as it was migrated."""
    return restored_either_app


@pytest.fixture
def door(client: FlaskClient, make_token: Callable[..., str]) -> Door:
    """Return the door with a token that may do everything."""
    return Door(client, make_token("ingest", "read", "write", "admin"))


@pytest.fixture(scope="module")
def shared_door(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Return the door of one application for a whole module, whose tests keep to traces of their own."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copy(migrated, folder / "pilothouse.db")
    app = make_app(environment(folder))
    yield Door(app.test_client(), token_of(app))
    let_go(app)


@pytest.fixture
def trace() -> str:
    """Return the id of a new trace."""
    return trace_id()


@pytest.fixture
def protobuf() -> Callable[..., bytes]:
    """Return what writes spans in protobuf."""

    def write(*spans: dict[str, Any]) -> bytes:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for told in spans:
            made = scope.spans.add()
            made.trace_id, made.span_id = bytes.fromhex(told["traceId"]), bytes.fromhex(told["spanId"])
            made.parent_span_id = bytes.fromhex(told.get("parentSpanId", ""))
            made.name = told["name"]
            made.start_time_unix_nano = int(told["startTimeUnixNano"])
            made.end_time_unix_nano = int(told.get("endTimeUnixNano", 0))
            for pair in told["attributes"]:
                value = made.attributes.add(key=pair["key"]).value
                for kind, plain in pair["value"].items():
                    name = {"stringValue": "string_value", "intValue": "int_value", "boolValue": "bool_value"}[kind]
                    setattr(value, name, int(plain) if kind == "intValue" else plain)
        return request.SerializeToString()

    return write


@pytest.fixture
def make_client() -> Callable[[Any], Door]:
    """Return what makes a door of another application."""
    return lambda app: Door(app.test_client(), token_of(app))


@pytest.fixture
def either_door(either_api: Api) -> Door:
    """Return the door of an application on either database."""
    return Door(either_api.client, either_api.token)


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Serve the application as `pilothouse up` does and return its address."""
    with serving(app) as address:
        yield address
