"""Real client libraries, each in an environment of its own, at a running server: what they show is what they did."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.environments import python_with
from tests.plugins.otel.conftest import Door

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parent / "live"
EXPORTER = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


class Provider(BaseHTTPRequestHandler):
    """A stand-in for the model provider; it answers everything but `fail`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        failing = b'"fail"' in body
        message = {"role": "assistant", "content": "yes"}
        answer: dict[str, Any] = {
            "id": f"chatcmpl-{time.time_ns()}", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE,
        }  # fmt: skip
        told = json.dumps({"error": {"message": "slow down", "type": "x", "code": "y"}} if failing else answer).encode()
        self.send_response(429 if failing else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def provider() -> Iterator[str]:
    """Run the stand-in and return its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(door: Door, address: str, provider: str) -> Callable[..., None]:
    """Return what runs a program with a Python, pointed at the server by environment variables alone."""
    token = door.api.token
    environ = {
        "PATH": os.environ["PATH"], "SERVER": address, "PROVIDER": provider, "TOKEN": token,
        "OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{token}",
        "OTEL_SERVICE_NAME": "desk", "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.2,deployment.environment.name=prod",
        "LANGFUSE_HOST": address, "LANGFUSE_BASE_URL": address, "LANGFUSE_PUBLIC_KEY": "my-app", "LANGFUSE_SECRET_KEY": token,
        "LANGFUSE_TRACING_ENVIRONMENT": "prod", "OPENAI_AGENTS_DISABLE_TRACING": "false", "OPENAI_API_KEY": "none",
    }  # fmt: skip

    def execute(python: Path, program: str, *arguments: str) -> None:
        command = [python, PROGRAMS / f"{program}.py", *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "Failed to export" not in done.stderr

    return execute


def only_run(door: Door) -> Any:
    [found] = door.executions()
    return door.execution(found["id"])


def test_opentelemetry_s_own_sdk(door, run):
    run(python_with(*EXPORTER), "otel_sdk")
    found = only_run(door)
    told = (found["workflow"], found["status"], found["user"], found["session"], found["environment"], found["release"])
    assert told == ("order-intake", "succeeded", "ada", "s-1", "prod", "1.2")
    assert [error["error_type"] for error in door.errors()] == ["KeyError"]
    assert door.tokens(found["id"]) == (1, 100, 10)
    components = door.api.get("/api/telemetry/components?range=24h").json["data"]
    assert "desk" in {line["component"] for line in components}


@pytest.mark.parametrize(("package", "program"), [("langfuse>=5,<6", "langfuse_5"), ("langfuse>=2.60,<3", "langfuse_2")])
def test_langfuse_s_sdks(door, run, package, program):
    run(python_with(package), program)
    found = only_run(door)
    assert (found["workflow"], found["status"], found["user"], found["session"]) == ("order-intake", "succeeded", "ada", "s-1")
    assert door.tokens(found["id"]) == (1, 100, 10)
    assert [error["message"] for error in door.errors()] == ["no such order"]
    names = {step["name"] for step in found["steps"]}
    assert names >= {"draft", "lookup"}
    components = door.api.get("/api/telemetry/components?range=24h").json["data"]
    assert "langfuse" in {line["component"] for line in components}


@pytest.mark.parametrize(("package", "module"), [
    ("openinference-instrumentation-openai", "openinference.instrumentation.openai"),
    ("opentelemetry-instrumentation-openai", "opentelemetry.instrumentation.openai"),
])  # fmt: skip
def test_instrumented_openai(door, run, package, module):
    run(python_with(*EXPORTER, "openai", package), "openai_calls", module)
    found = only_run(door)
    assert door.tokens(found["id"]) == (2, 100, 10)
    assert [error["error_type"].rpartition(".")[2] for error in door.errors()] == ["RateLimitError"]
    assert {step["kind"] for step in found["steps"]} == {"llm", "other"}


def test_the_openai_agents_sdk(door, run):
    run(python_with("openai-agents"), "agents_sdk")
    found = only_run(door)
    assert (found["workflow"], found["status"], found["session"], found["agent"]) == ("order-intake", "succeeded", "s-1", "triage")
    assert door.tokens(found["id"]) == (1, 100, 10)


def test_basic_is_what_langfuse_sends(door):
    basic = base64.b64encode(f"my-app:{door.api.token}".encode()).decode()
    assert door.api.get("/api/public/projects", headers={"Authorization": f"Basic {basic}"}).status_code == 200
