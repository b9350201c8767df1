"""A gateway before a stand-in of the providers: served over HTTP, with keys in the vault, called by the real SDKs."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from flask import Flask
from tests.conftest import token_of
from tests.plugins.gateway.provider import GOOD, Provider, Server, serve

from pilothouse.runtime import runtime
from pilothouse.testing import Api, environment, let_go, make_app
from pilothouse.web.server import make_server

LONG_REQUESTS = 512
SETTINGS = {"PILOTHOUSE_ALLOW_PRIVATE_TARGETS": "on", "PILOTHOUSE_GATEWAY_TIMEOUT": "20s"}


@pytest.fixture(scope="module")
def stand_in() -> Iterator[tuple[Provider, Server]]:
    """Run the providers' stand-in."""
    provider = Provider(salt=str(time.time_ns()))
    server = serve(provider)
    yield provider, server
    server.shutdown()
    server.server_close()


@pytest.fixture
def provider(stand_in: tuple[Provider, Server]) -> Provider:
    """Return the stand-in with an empty ledger."""
    stand_in[0].clear()
    return stand_in[0]


@dataclass(slots=True)
class Gate:
    """A running gateway: its address, a token for it, and the API to look at what was recorded."""

    app: Flask
    url: str
    token: str
    api: Api

    def openai(self, **options: Any) -> openai.OpenAI:
        """Return OpenAI's SDK with address and key changed."""
        options = {"max_retries": 0, **options}
        return openai.OpenAI(base_url=f"{self.url}/gateway/openai/v1", api_key=self.token, **options)

    def anthropic(self, **options: Any) -> anthropic.Anthropic:
        """Return Anthropic's SDK with address and key changed."""
        options = {"max_retries": 0, **options}
        return anthropic.Anthropic(base_url=f"{self.url}/gateway/anthropic", api_key=self.token, **options)

    def calls(self) -> list[dict[str, Any]]:
        """Return the recorded usage of the newest calls, the oldest of them first."""
        found: list[dict[str, Any]] = self.api.get("/api/tokens/records?range=1h&limit=500").json["data"]
        return found[::-1]

    def executions(self) -> list[dict[str, Any]]:
        """Return the recorded executions of callers, the newest first."""
        found = self.api.get("/api/executions?limit=500").json["data"]
        return [one for one in found if one["environment"] != "pilothouse"]

    def execution(self, key: str) -> dict[str, Any]:
        """Return one execution with its steps and errors."""
        found: dict[str, Any] = self.api.get(f"/api/executions/{key}").json
        return found

    def step(self, key: str | None = None) -> dict[str, Any]:
        """Return the only step of an execution, of the newest one if none is named."""
        [step] = self.execution(key or self.executions()[0]["id"])["steps"]
        return dict(step)

    def eventually(self, met: Callable[[], Any], seconds: float = 5.0) -> Any:
        """Wait until something is there, which a stream's record is a moment after it; return what was found."""
        until = time.monotonic() + seconds
        while not (found := met()) and time.monotonic() < until:
            time.sleep(0.02)
        return found


MakeGate = Callable[..., Gate]


@pytest.fixture(scope="module")
def gates(migrated: Path, tmp_path_factory: pytest.TempPathFactory, stand_in: tuple[Provider, Server]) -> Iterator[MakeGate]:
    """Return what starts a gateway with settings of its own; with a key for each provider unless `keys` is off."""
    running: list[tuple[Any, threading.Thread, Flask]] = []

    def start(*, keys: bool = True, **settings: str) -> Gate:
        folder = tmp_path_factory.mktemp("gate")
        shutil.copy(migrated, folder / "pilothouse.db")
        url = stand_in[0].url
        upstreams = {"PILOTHOUSE_UPSTREAM_OPENAI": url, "PILOTHOUSE_UPSTREAM_ANTHROPIC": f"{url}/v1"}
        app = make_app(environment(folder, **{**SETTINGS, **upstreams, **settings}))
        server = make_server(app, "127.0.0.1", 0, long_requests=LONG_REQUESTS)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread, app))
        api = Api(app.test_client(), token_of(app))
        gate = Gate(app, f"http://127.0.0.1:{server.effective_port}", token_of(app, "gateway"), api)
        for service in ("openai", "anthropic") if keys else ():
            add_key(gate, service, GOOD)
        return gate

    yield start
    for server, thread, app in running:
        server.close()
        server.task_dispatcher.shutdown()
        thread.join(10)
        with app.app_context():
            let_go(app)


def add_key(gate: Gate, service: str, secret: str, name: str = "main", **more: Any) -> str:
    """Put a key into the vault; returns its id."""
    answer = gate.api.post("/api/keys", json={"name": name, "service": service, "secret": secret, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json["id"])


@pytest.fixture(scope="module")
def gate(gates: MakeGate) -> Gate:
    """Return a gateway with a key for each provider, shared by a module's tests."""
    return gates()


@pytest.fixture
def told(gate: Gate, provider: Provider) -> Iterator[Callable[[], tuple[int, int]]]:
    """Return what counts the tokens recorded since the test began; at the end nobody behind the gateway has failed."""

    def totals() -> tuple[int, int]:
        found = gate.api.get("/api/tokens/usage?range=1h").json["totals"]
        return found["prompt_tokens"], found["completion_tokens"]

    before = totals()
    yield lambda: (totals()[0] - before[0], totals()[1] - before[1])
    with gate.app.app_context():
        assert runtime().registry.guard.failures == {}


@pytest.fixture
def ended(gate: Gate) -> Callable[..., list[dict[str, Any]]]:
    """Return what waits for calls made since the test began to end, and returns their steps, the first call first."""
    before = {one["id"] for one in gate.executions()}

    def wait(number: int = 1) -> list[dict[str, Any]]:
        def new() -> list[Any] | None:
            found = [one for one in gate.executions() if one["id"] not in before]
            return found if len(found) == number and all(one["status"] != "running" for one in found) else None

        found = gate.eventually(new, 30)
        assert found is not None
        return [gate.step(one["id"]) for one in reversed(found)]

    return wait
