"""The embedded Valkey: where it lies, what it keeps, and what is left of one that was killed."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

import pytest
from work_parts import Broker, eventually

from pilothouse import broker as address
from pilothouse import embedded
from pilothouse.errors import SettingsError


def _nowhere(_name: str) -> None:
    """Find no distribution."""


def test_the_socket_lies_in_the_data_folder(broker: Broker) -> None:
    path = embedded.socket_path(broker.folder)
    assert path == broker.folder / "run" / "valkey.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert embedded.running_url(broker.folder) == broker.url


@pytest.mark.parametrize("name", ["x" * 120, "with space", "per%cent", "question?mark"])
def test_a_folder_whose_path_does_not_do_gets_a_short_socket(tmp_path: Path, name: str) -> None:
    path = embedded.socket_path(tmp_path / name)
    assert len(str(path)) <= 100
    assert path != embedded.socket_path(tmp_path / (name + "2"))


def test_what_was_written_survives_a_kill(broker: Broker) -> None:
    client = address.connect(broker.url)
    client.set("kept", "yes")
    assert eventually(lambda: (broker.folder / "valkey" / "appendonlydir").exists(), 3)
    broker.send_signal(signal.SIGKILL)
    assert broker.process is not None
    broker.process.wait(5)
    broker.start()
    assert address.connect(broker.url).get("kept") == b"yes"


def test_it_never_throws_out_what_it_holds(broker: Broker) -> None:
    config = address.connect(broker.url).config_get("maxmemory-policy")
    assert config == {"maxmemory-policy": "noeviction"}


def test_a_stale_server_is_stopped(broker: Broker) -> None:
    embedded.stop_stale(broker.folder)
    assert broker.process is not None
    assert broker.process.wait(5) == 0
    assert not embedded.socket_path(broker.folder).exists()


def test_a_stale_socket_is_removed(broker: Broker) -> None:
    broker.send_signal(signal.SIGKILL)
    assert broker.process is not None
    broker.process.wait(5)
    assert embedded.running_url(broker.folder) is not None
    embedded.stop_stale(broker.folder)
    assert embedded.running_url(broker.folder) is None


def test_a_machine_without_valkey_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _nowhere)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="set PILOTHOUSE_REDIS_URL"):
        embedded.find_binary()


def test_a_server_on_the_path_serves_where_none_is_bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _nowhere)
    (tmp_path / "redis-server").write_text("#!/bin/sh\n")
    (tmp_path / "redis-server").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.find_binary() == tmp_path / "redis-server"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/v.sock", "redis+socket:///run/v.sock?virtual_host=0"),
        ("unix://user:pass@/run/v.sock?db=3", "redis+socket://user:pass@/run/v.sock?virtual_host=3"),
        ("rediss://host:6379/1", "rediss://host:6379/1"),
    ],
)
def test_kombu_gets_the_address_in_its_own_form(url: str, expected: str) -> None:
    assert address.celery_url(url) == expected
