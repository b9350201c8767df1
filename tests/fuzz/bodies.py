"""What mutation starts from: bodies that clients really sent, and a few that tell every signal of our own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pilothouse.clock import now

ROOT = Path(__file__).parents[1]
CORPORA = (ROOT / "plugins" / "otel" / "cases", ROOT / "plugins" / "sentry" / "cases", ROOT.parents[1] / "shared" / "corpus")
JSON, LINES, ENVELOPE = "application/json", "application/x-ndjson", "application/x-sentry-envelope"
GATEWAYS = {"openai": "/gateway/openai", "anthropic": "/gateway/anthropic"}
MODEL_CALLS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1/messages/count_tokens")
DOORS = ("otel", "sentry", "ingest", "gateway")


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body with where it goes, and how it says that it is written and compressed."""

    door: str
    path: str
    content_type: str
    data: bytes
    encoding: str = ""


@cache
def starting_bodies(door: str) -> tuple[Body, ...]:
    """Return the bodies of a door (`otel`, `sentry`, `ingest`, `gateway`), uncompressed and each once."""
    found = [*(_own() if door == "ingest" else ()), *(_calls() if door == "gateway" else ()), *_recorded(door)]
    return tuple(dict.fromkeys(found))


def _recorded(door: str) -> Iterator[Body]:
    for root in CORPORA:
        for file in sorted(root.glob("*/*/case.json")):
            for request in json.loads(file.read_text())["requests"]:
                if request["method"] == "POST" and request.get("body_file"):
                    body = _body(file.parent.parent.name, request, (file.parent / request["body_file"]).read_bytes())
                    if body is not None and body.door == door:
                        yield body


def _body(dialect: str, request: dict[str, Any], data: bytes) -> Body | None:
    headers = {name.lower(): value for name, value in request["headers"]}
    if headers.get("content-encoding") == "gzip":
        data = gzip.decompress(data)  # mutating what is compressed only breaks its checksum
    content_type, path = headers.get("content-type", ""), request["path"]
    if dialect.startswith("sentry-"):
        return Body("sentry", f"/api/1/{'store' if path.endswith('/store/') else 'envelope'}/", content_type, data)
    if dialect.startswith(("openai-python", "anthropic-python", "clients-node")):
        call = next((call for call in MODEL_CALLS if path.endswith(call)), None)
        return None if call is None else Body("gateway", GATEWAYS[_provider(call)] + call, content_type, data)
    return Body("otel", path.removeprefix("/other"), content_type, data)


def _provider(call: str) -> str:
    return "anthropic" if "/messages" in call else "openai"


def _calls() -> Iterator[Body]:
    said = [{"role": "user", "content": "[[in=20 out=4]]"}]
    for call in ("/v1/chat/completions", "/v1/messages"):
        for stream in (False, True):
            asked = {"model": "gpt-4o-mini", "messages": said, "max_tokens": 20, "stream": stream, "metadata": {"user_id": "u"}}
            yield Body("gateway", GATEWAYS[_provider(call)] + call, JSON, json.dumps(asked).encode())


def _own() -> Iterator[Body]:
    signals = _signals()
    yield Body("ingest", "/api/ingest", JSON, json.dumps({"signals": signals}).encode())
    yield Body("ingest", "/api/ingest", LINES, "\n".join(map(json.dumps, signals)).encode())
    for signal in signals:
        yield Body("ingest", "/api/ingest", JSON, json.dumps({"signals": [signal]}).encode())


def _signals() -> list[dict[str, Any]]:
    at = now() - 60_000
    frame = {"file": "desk/orders.py", "line": 12, "function": "intake", "in_app": True, "context_line": "raise", "vars": {"n": 1}}
    fault = {"error_type": "Late", "message": "order 7 of 12 is late", "frames": [frame], "attributes": {"k": [1, None]}}
    return [
        {"type": "execution", "id": "run-1", "workflow": "orders", "status": "running", "started_at": at, "agent": "desk",
         "user": "ada", "session": "s-1", "environment": "prod", "release": "1", "trigger": "api", "input": {"q": ["x", 1.5]},
         "attributes": {"a": {"b": "c"}}},
        {"type": "execution", "id": "run-1", "workflow": "orders", "status": "failed", "finished_at": at + 900, "output": "no",
         "error": fault},
        {"type": "execution", "id": "run-2", "workflow": "orders", "status": "succeeded", "parent_id": "run-1", "started_at": at},
        {"type": "step", "id": "step-1", "execution_id": "run-1", "name": "fetch", "kind": "tool", "status": "failed",
         "started_at": at, "finished_at": at + 20, "input": [1], "output": {"ok": False}, "attributes": {"z": True}},
        {"type": "step", "id": "step-2", "execution_id": "run-1", "parent_id": "step-1", "name": "ask", "kind": "llm"},
        {"type": "error", "id": "err-1", "execution_id": "run-1", "at": at, "severity": "high", "handled": False, **fault,
         "stack_trace": 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\nLate: no', "user": "ada"},
        {"type": "error", "id": "err-2", "error_type": "E", "message": "m", "workflow": "orders", "fingerprint": ["a", "b"]},
        {"type": "token_usage", "id": "use-1", "model": "gpt-5", "provider": "openai", "prompt_tokens": 90, "cached_tokens": 64,
         "completion_tokens": 12, "reasoning_tokens": 4, "cost_usd": "0.0012", "execution_id": "run-1", "response_id": "r-1",
         "agent": "desk", "user": "ada", "latency_ms": 120.5, "at": at},
        {"type": "event", "id": "ev-1", "name": "order.opened", "component": "orders", "user": "ada", "session": "s-1",
         "duration_ms": 12, "ok": True, "at": at, "properties": {"n": 1, "deep": [[[{"x": None}]]]}},
    ]  # fmt: skip
