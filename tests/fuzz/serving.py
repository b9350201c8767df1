"""Bodies over HTTP at a running `pilothouse up`: each of its processes outlives them, and it goes on working."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

import psutil
from tests.bench.servers import Console, console, made_token
from tests.fuzz.bodies import DOORS, Body, starting_bodies
from tests.fuzz.mutating import mutated
from tests.fuzz.provider import provider
from tests.fuzz.sending import FINE, LISTS, SHARES, Found, keep_body

SENDERS = 4
PROCESSES = {"valkey-server", "web", "worker", "scheduler"}
HANGS_S = 60.0
CALM_S = 120.0  # how long the worker may take with what the bodies gave it to do
CHUNKED, BROKEN_OFF = 0.15, 0.03  # shares of the bodies that come without a length, and of those that never come to their end
PIECE = 700
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Served:
    """A running console, its processes as they were at the start, and a token for every door."""

    def __init__(self, made: Console, token: str) -> None:
        """Take note of the processes."""
        self._made, self.token = made, token
        self.processes = self._running()
        assert set(self.processes) == PROCESSES

    def connection(self) -> http.client.HTTPConnection:
        """Return a new connection."""
        return http.client.HTTPConnection("127.0.0.1", self._made.port, timeout=HANGS_S)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send a good request; returns the answer's status and text."""
        connection = self.connection()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def look_around(self, seed: int, found: Found) -> None:
        """Look for what is wrong after the bodies: processes, health, jobs, lists, and whether it takes and shows a run."""
        key = f"after-{seed}"
        run = {"type": "execution", "id": key, "workflow": "after-all", "status": "failed", "agent": "clean"}
        asked = [
            ("GET", "/readyz", None, '"ready"'), ("POST", "/api/ingest", {"signals": [run]}, '"accepted":1'),
            ("GET", f"/api/executions/{key}", None, '"after-all"'), ("GET", "/api/dead-letters", None, '"data":[]'),
            *(("GET", path, None, "") for path in LISTS if path.startswith("/api/")),
        ]  # fmt: skip
        wrong = []
        for method, path, body, words in asked:
            status, text = self.ask(method, path, body)
            found.pages += 1
            if status != HTTPStatus.OK or words not in text.replace(" ", ""):
                wrong.append(f"{method} {path}: {status}: {text[:300]}")
        if not self._calm():
            wrong.append(f"after {CALM_S:.0f} s jobs are not done: {self._jobs()}")
        found.jobs = int(self._jobs().get('pilothouse_jobs state="done"', 0))
        wrong += [f"the web server counted {name}" for name in self._figures() if "5xx" in name]
        running = self._running()
        wrong += [f"{name} is another process" for name, pid in self.processes.items() if running.get(name) != pid]
        found.faults += [f"seed {seed}: {fault}" for fault in wrong]

    def _running(self) -> dict[str, int]:
        found = {}
        for child in psutil.Process(self._made.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                words = " ".join(child.cmdline())
                found[next((name for name in PROCESSES if name in words), words)] = child.pid
        return found

    def _figures(self) -> dict[str, float]:
        text = self.ask("GET", "/metrics")[1]
        return {f"{name} {labels}": float(value) for name, labels, value in _SAMPLE.findall(text)}

    def _jobs(self) -> dict[str, float]:
        return {name: count for name, count in self._figures().items() if name.startswith("pilothouse_jobs")}

    def _calm(self) -> bool:
        until = time.monotonic() + CALM_S
        while time.monotonic() < until:
            if not any(count for name, count in self._jobs().items() if '"done"' not in name):
                return True
            time.sleep(0.5)
        return False


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Run `pilothouse up` with a provider behind its gateway in an empty folder until the block ends."""
    with provider() as address:
        environ = {"PILOTHOUSE_UPSTREAM_OPENAI": address, "PILOTHOUSE_UPSTREAM_ANTHROPIC": f"{address}/v1",
                   "PILOTHOUSE_ALLOW_PRIVATE_TARGETS": "on"}  # fmt: skip
        with console(folder, **environ) as made:
            found = Served(made, made_token(folder, "ingest", "gateway", "read", "write", "admin", **environ))
            for service in ("openai", "anthropic"):
                told = {"name": "main", "service": service, "secret": "sk-of-the-stand-in-1"}
                assert found.ask("POST", "/api/keys", told)[0] == 201
            yield found


def served_round(made: Served, count: int, seed: int, found: Found, keep: Path | None = None) -> None:
    """Send `count` bodies, some at a time, and look at everything afterwards; bad ones go to `keep`."""
    with ThreadPoolExecutor(SENDERS) as pool:
        for part in pool.map(lambda sender: _send_some(made, count // SENDERS, f"{seed}-{sender}", keep), range(SENDERS)):
            found.add(part)
    made.look_around(seed, found)


def _send_some(made: Served, count: int, seed: str, keep: Path | None) -> Found:
    dice, found, connection = Random(seed), Found(), made.connection()
    for number in range(count):
        door = dice.choices(DOORS, [SHARES[door] for door in DOORS])[0]
        others = starting_bodies(door)
        body = mutated(dice, dice.choice(others), others)
        way = dice.random()
        begun = time.monotonic()
        if way < BROKEN_OFF:
            _break_off(made.connection(), made.token, body)
            continue
        try:
            status, text = _send(connection, made.token, body, chunked=way < BROKEN_OFF + CHUNKED)
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            connection = made.connection()
            status, text = 0, repr(fault).encode()
        found.told(door, status, time.monotonic() - begun)
        if status not in FINE[door]:
            found.faults.append(f"seed {seed}, body {number}, {body.path}: status {status}: {text[:300]!r}")
            keep_body(keep, f"{seed}-{number}-{status}", body)
    connection.close()
    return found


def _send(connection: http.client.HTTPConnection, token: str, body: Body, *, chunked: bool) -> tuple[int, bytes]:
    headers = _headers(token, body)
    if chunked:
        pieces = (body.data[place : place + PIECE] for place in range(0, len(body.data), PIECE))
        connection.request("POST", body.path, pieces, {**headers, "Transfer-Encoding": "chunked"}, encode_chunked=True)
    else:
        connection.request("POST", body.path, body.data, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _break_off(connection: http.client.HTTPConnection, token: str, body: Body) -> None:
    with suppress(OSError):
        connection.request("POST", body.path, body.data[: len(body.data) // 2], {
            **_headers(token, body), "Content-Length": str(len(body.data) + 1)
        })  # fmt: skip
    connection.close()


def _headers(token: str, body: Body) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}", "X-Sentry-Auth": f"Sentry sentry_key={token}"}
    if body.content_type:
        headers["Content-Type"] = body.content_type
    if body.encoding:
        headers["Content-Encoding"] = body.encoding
    return headers
