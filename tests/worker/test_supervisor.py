"""The supervisor over small programs: order, restarts, a clean stop, and no orphans however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from work_parts import end_group, eventually

PROGRAM = """
import sys, signal
from pathlib import Path
from pilothouse import logs
from pilothouse.work.supervisor import Service, Supervisor

folder = Path(sys.argv[1])
CHILD = '''
import os, sys, time, signal, subprocess
from pathlib import Path
folder, name, stubborn = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "stubborn"
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with (folder / "pids").open("a") as file:
    file.write(f"{name} {os.getpid()} {grandchild.pid}\\\\n")
(folder / name).touch()
time.sleep(60)
'''
logs.configure("up", readable=False)
def service(name, **options):
    kind = "stubborn" if name == "stubborn" else "plain"
    return Service(name, [sys.executable, "-c", CHILD, str(folder), name, kind], ready=(folder / name).exists, **options)
services = [service("first", last=True), service("second")]
if "stubborn" in sys.argv:
    services.append(service("stubborn"))
services[-1].when_ready = lambda: print("ready", flush=True)
Supervisor(services, {"PATH": ""}).run()
print("stopped", flush=True)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a supervisor in a process of its own and wait until it says that it is ready."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start_one
    for process in processes:
        end_group(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def pids(folder: Path) -> dict[str, list[int]]:
    """Return the latest process and grandchild of each service."""
    lines = [line.split() for line in (folder / "pids").read_text().splitlines()]
    return {name: [int(child), int(grandchild)] for name, child, grandchild in lines}


def gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has collected yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(folder: Path) -> bool:
    return all(gone(pid) for service in pids(folder).values() for pid in service)


def test_services_start_in_order_and_stop_with_their_children(start: Start, tmp_path: Path) -> None:
    supervisor = start()
    assert list(pids(tmp_path)) == ["first", "second"]
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 0
    assert eventually(lambda: all_gone(tmp_path), 3)


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_killed_service_is_started_again(start: Start, tmp_path: Path, name: str) -> None:
    start()
    before = pids(tmp_path)
    os.kill(before[name][0], signal.SIGKILL)
    assert eventually(lambda: pids(tmp_path)[name] != before[name], 5)
    assert eventually(lambda: gone(before[name][1]), 3)
    assert not gone(pids(tmp_path)[name][0])


def test_a_killed_supervisor_leaves_no_service_behind(start: Start, tmp_path: Path) -> None:
    supervisor = start()
    services = [service[0] for service in pids(tmp_path).values()]
    supervisor.kill()
    assert eventually(lambda: all(gone(pid) for pid in services), 6)


def test_ctrl_c_stops_everything(start: Start, tmp_path: Path) -> None:
    supervisor = start()
    os.killpg(supervisor.pid, signal.SIGINT)
    assert supervisor.wait(10) == 0
    assert eventually(lambda: all_gone(tmp_path), 3)


def test_a_service_that_will_not_stop_is_killed(start: Start, tmp_path: Path) -> None:
    supervisor = start("stubborn")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(12) == 0
    assert eventually(lambda: all_gone(tmp_path), 3)
    assert supervisor.stderr is not None
    assert '"service": "stubborn"' in supervisor.stderr.read()
