"""Servers for benchmarks: `pilothouse up` in a folder of its own, an empty Flask route on the same web server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Console:
    """A running console: its address, a token with every scope that a program needs, its process."""

    port: int
    token: str
    link: str
    process: subprocess.Popen[str]
    folder: Path
    started_s: float


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def console(folder: Path | None = None, *, programs: Path = Path(sys.executable).parent, **environ: str) -> Iterator[Console]:
    """Run `pilothouse up` until the block ends; `started_s` is the time to the first page answered."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("PILOTHOUSE_BENCH_DIR")) as made:
        data = folder or Path(made)
        port = free_port()
        begun = time.monotonic()
        process = subprocess.Popen(
            [str(programs / "pilothouse"), "up", "--port", str(port)],
            env={**os.environ, "PILOTHOUSE_DATA_DIR": str(data), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/login", process)
            started = time.monotonic() - begun
            text = _first_lines(process)
            token = made_token(data, "ingest", "read", "write", **environ)
            link = re.search(r"http://\S+/login/\S+", text)
            yield Console(port, token, link.group() if link else "", process, data, started)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def wait_for(url: str, process: subprocess.Popen[str], *, key: str = "") -> None:
    """Ask for a page until it answers. Raises RuntimeError where the process ends or takes a minute."""
    question = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(question, timeout=5) as answer:
                answer.read()
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{url} did not answer")


def _first_lines(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    text, until = "", time.monotonic() + 5
    while "ph_access_" not in text and time.monotonic() < until:
        with suppress(BlockingIOError):
            text += os.read(pipe, 1 << 16).decode()
        time.sleep(0.05)
    return text


def made_token(data: Path, *scopes: str, **environ: str) -> str:
    """Make an access token with some scopes at the command line."""
    command = [str(Path(sys.executable).parent / "pilothouse"), "token", "create", "bench"]
    command += [word for scope in scopes for word in ("--scope", scope)]
    env = {**os.environ, "PILOTHOUSE_DATA_DIR": str(data), **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


EMPTY = """
import sys
from flask import Flask
from pilothouse.web.server import make_server, serve
app = Flask("empty")
app.route("/", methods=["GET", "POST"])(lambda: "")
serve(make_server(app, "127.0.0.1", int(sys.argv[1])))
"""


@contextmanager
def empty_route() -> Iterator[int]:
    """Run a Flask application with one empty route on the console's own web server; yields its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", EMPTY, str(port)], text=True, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/", process)
        yield port
    finally:
        process.terminate()
        process.wait(30)
