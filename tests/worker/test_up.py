"""`pilothouse up` as a person meets it: one command, one address, nothing left behind."""

from __future__ import annotations

import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest
from up_parts import Up, free_port, pilothouse
from work_parts import eventually


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="ph", ignore_cleanup_errors=True) as name:
        found = Up(Path(name) / "data", free_port())
        yield found
        found.stop()


def test_the_first_start_says_where_it_is_and_how_to_sign_in(up: Up) -> None:
    said = up.said()
    link = re.search(r"http://127\.0\.0\.1:\d+/login/\S+", said)
    token = re.search(r"ph_access_\w+", said)
    assert f"Pilothouse runs at {up.url}" in said
    assert link is not None
    assert token is not None
    assert up.status(link.group().removeprefix(up.url)) == 200


def test_the_data_folder_is_private(up: Up) -> None:
    modes = {name: stat.S_IMODE((up.folder / name).stat().st_mode) for name in (".", "secret.key", "master.keys")}
    assert modes == {".": 0o700, "secret.key": 0o600, "master.keys": 0o600}


def test_everything_is_ready(up: Up) -> None:
    assert sorted(up.children()) == ["scheduler", "valkey-server", "web", "worker"]
    assert eventually(lambda: "warn" not in pilothouse(up.folder, "doctor").stdout.replace("warn  plugins", ""), 30)
    assert up.status("/healthz") == 200


def test_a_second_start_on_the_same_folder_is_refused_in_one_line(up: Up) -> None:
    second = pilothouse(up.folder, "up", "--port", str(free_port()))
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "already running" in second.stderr


def test_a_taken_port_is_told_in_one_line(up: Up, tmp_path: Path) -> None:
    second = pilothouse(tmp_path / "other", "up", "--port", str(up.port))
    assert second.returncode != 0
    assert second.stderr.splitlines() == [
        f"pilothouse: cannot listen on 127.0.0.1:{up.port}: address already in use (choose another with --port)"
    ]


def test_commands_work_on_the_running_folder(up: Up) -> None:
    token = pilothouse(up.folder, "token", "create", "reader", "--scope", "read")
    assert re.fullmatch(r"ph_access_\w+\n", token.stdout)
    link = pilothouse(up.folder, "owner", "owner@localhost")
    assert link.stdout.startswith(f"{up.url}/login/")
    assert up.status("/metrics", token.stdout.strip()) == 200
    assert up.status("/metrics") == 401


def test_the_demo_sends_real_executions(up: Up) -> None:
    told = pilothouse(up.folder, "demo")
    assert told.returncode == 0, told.stderr
    assert "19 executions, 6 of them failed" in told.stdout
    token = pilothouse(up.folder, "token", "create", "demo reader", "--scope", "read").stdout.strip()
    with urlopen(Request(f"{up.url}/api/executions", headers={"Authorization": f"Bearer {token}"}), timeout=20) as answer:
        assert b"critical-path" in answer.read()


@pytest.mark.parametrize("name", ["valkey-server", "web", "worker", "scheduler"])
def test_what_is_killed_is_started_again(up: Up, name: str) -> None:
    before = up.children()[name]
    before.kill()
    assert eventually(lambda: up.children().get(name, before) != before, 30)
    assert eventually(lambda: up.status("/readyz") == 200, 20)


def test_it_stops_cleanly_and_starts_again_with_its_data(up: Up) -> None:
    pids = up.all_pids()
    assert up.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    again = Up(up.folder, up.port)
    try:
        assert "pilothouse owner EMAIL" in again.said().rpartition("Pilothouse runs at")[2]
    finally:
        again.stop()


def test_a_kill_of_the_supervisor_leaves_no_process(up: Up) -> None:
    up.stop()
    again = Up(up.folder, up.port)
    try:
        children = psutil.Process(again.process.pid).children(recursive=True)
        again.process.kill()
        again.process.wait(5)
        eventually(lambda: not any(_runs(child) for child in children), 30)
        assert [child.cmdline() for child in children if _runs(child)] == []
    finally:
        again.process.kill()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
