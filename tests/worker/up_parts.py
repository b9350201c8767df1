"""A running `pilothouse up`, and the commands beside it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psutil
from work_parts import eventually

GREETING = "Pilothouse runs at"
SECONDS = 60  # a start takes three on a quiet machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PILOTHOUSE_DATA_DIR": str(folder), "PYTHONWARNINGS": "default"}


def pilothouse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilothouse", *arguments]
    return subprocess.run(command, env=environment(folder), capture_output=True, text=True, timeout=SECONDS, check=False)


class Up:
    """A running `pilothouse up` and what it said."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder.parent / f"up-{port}.log"
        command = [sys.executable, "-m", "pilothouse", "up", "--port", str(port)]
        self.log.touch()
        starts = self.said().count(GREETING)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment(folder), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        eventually(lambda: self.said().count(GREETING) > starts or self.process.poll() is not None, SECONDS)
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def status(self, path: str, token: str = "") -> int:
        request = Request(self.url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except HTTPError as fault:
            with fault:
                return fault.code
        except (URLError, OSError):
            return 0

    def children(self) -> dict[str, psutil.Process]:
        """Return the direct children by what they are."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                words = " ".join(child.cmdline())
            except psutil.NoSuchProcess:  # also what psutil says of one that nobody has collected yet
                continue
            kind = next((name for name in ("valkey-server", "web", "worker", "scheduler") if name in words), words)
            found[kind] = child
        return found

    def all_pids(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)
