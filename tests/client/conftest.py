"""A small stand-in for the server, over real HTTP, with a ledger of what it was sent; and clients that report to it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pilothouse_client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Path(__file__).parents[2] / "client" / "src"
TOKEN = "ph_access_test"
# What CI's slowest machine may need; a test that passes takes a small part of it.
PATIENCE = 15.0


class Ledger:
    """What the stand-in was sent, and how it is to answer: `answers` are used up first, then each batch is taken."""

    def __init__(self) -> None:
        self.signals: list[dict[str, Any]] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.requests: list[dict[str, str]] = []
        self.arrivals: list[float] = []
        self.answers: deque[tuple[int, dict[str, str], dict[str, Any]]] = deque()
        self.commands: deque[dict[str, str]] = deque()
        self.rejected: list[dict[str, Any]] = []
        self.most_signals = 5_000
        self.away = False
        self.cut = False
        self.delay = 0.0

    def answer_next(self, status: int, body: dict[str, Any] | None = None, **headers: str) -> None:
        """Answer one request more with this, and take nothing of it."""
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body or {}))

    def of(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the signals of a type that have these fields."""
        wanted = {"type": kind, **fields}
        return [signal for signal in list(self.signals) if wanted.items() <= signal.items()]

    def wait_for(self, kind: str, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """Return signals of a type as soon as there are `count` of them."""
        wait_until(lambda: len(self.of(kind, **fields)) >= count, lambda: f"{count} {kind} {fields}: {self.signals}")
        return self.of(kind, **fields)

    def one(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the only signal of a type that has these fields."""
        [signal] = self.wait_for(kind, **fields)
        return signal


def wait_until(condition: Callable[[], Any], what: Callable[[], str] = lambda: "it did not come true") -> None:
    """Return when `condition` holds; fail when it does not within `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    """Answers `/api/ingest` as the ledger says."""

    ledger: Ledger

    def do_POST(self) -> None:
        """Take a batch, or do what was asked for instead."""
        ledger = self.ledger
        body = self.rfile.read(int(self.headers["Content-Length"]))
        ledger.arrivals.append(time.monotonic())
        ledger.requests.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        time.sleep(ledger.delay)
        if ledger.cut:
            self.connection.close()
            return
        self._answer(*self._judge(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body))

    def _judge(self, body: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
        ledger = self.ledger
        if ledger.answers:
            return ledger.answers.popleft()
        if ledger.away:
            return 503, {}, {"title": "a store is away"}
        signals = json.loads(body)["signals"]
        if len(signals) > ledger.most_signals:
            return 413, {}, {"title": "too large"}
        ledger.batches.append(signals)
        ledger.signals += signals
        commands = [ledger.commands.popleft() for _ in range(len(ledger.commands))]
        return 200, {}, {"accepted": len(signals), "rejected": ledger.rejected, "commands": commands}

    def _answer(self, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(encoded))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class StandIn(ThreadingHTTPServer):
    """The server; a client that hangs up is no news."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


class Server:
    """A stand-in that can be stopped and started again at its address."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._serve(0)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _serve(self, port: int) -> None:
        handler = type("LedgerHandler", (Handler,), {"ledger": self.ledger})
        self._http = StandIn(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def start_again(self) -> None:
        """Serve at the same address, with the same ledger."""
        self._serve(self.port)


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a stand-in."""
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def ledger(server: Server) -> Ledger:
    """Return the ledger of the stand-in."""
    return server.ledger


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the spool folder of every client in this test, in its own processes too."""
    folder = tmp_path / "spool"
    monkeypatch.setenv("PILOTHOUSE_SPOOL", str(folder))
    return folder


@pytest.fixture
def connect(server: Server, spool: Path) -> Iterator[Callable[..., Client]]:
    """Return what makes clients that report to the stand-in, and close them at the end."""
    clients: list[Client] = []

    def make(url: str = server.url, token: str = TOKEN, **options: Any) -> Client:
        clients.append(Client(url, token, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close(timeout=1)


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    """Make a client that reports to the stand-in."""
    return connect()


@pytest.fixture
def until() -> Callable[..., None]:
    """Return `until(condition)`, which waits for it."""
    return wait_until


@pytest.fixture
def program(server: Server, spool: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return what starts a program in a process of its own; `client` is there in it, connected to the stand-in."""

    def start(script: str, *flags: str) -> subprocess.Popen[str]:
        opening = f"import os, sys, time\nimport pilothouse_client\nclient = pilothouse_client.Client()\n{script}"
        environment = {
            **os.environ,
            "PYTHONPATH": str(SOURCE),
            "PILOTHOUSE_URL": server.url,
            "PILOTHOUSE_TOKEN": TOKEN,
            "PILOTHOUSE_SPOOL": str(spool),
        }
        command = [sys.executable, *flags, "-c", opening]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def run(program: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, str, str]]:
    """Return what runs a program to its end and returns its status, output and errors."""

    def finish(script: str, *flags: str) -> tuple[int, str, str]:
        with program(script, *flags) as process:
            out, err = process.communicate(timeout=PATIENCE * 2)
            return process.returncode, out, err

    return finish
