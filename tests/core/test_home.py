"""The data folder: made once, private, locked, and read by the other commands."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pilothouse import home
from pilothouse.errors import Conflict, SettingsError
from pilothouse.settings import read_settings


def settings(folder: Path) -> object:
    return read_settings({"PILOTHOUSE_DATA_DIR": str(folder)}, require_secrets=False)


def test_what_is_missing_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    home.make(settings(folder))
    first = [(folder / name).read_text() for name in ("secret.key", "master.keys")]
    home.make(settings(folder))
    assert [(folder / name).read_text() for name in ("secret.key", "master.keys")] == first
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"PILOTHOUSE_DATA_DIR .* cannot be used"):
        home.make(settings(tmp_path / "file" / "data"))


def test_a_folder_is_locked_by_one_alone(tmp_path: Path) -> None:
    home.make(settings(tmp_path))
    with home.lock(tmp_path), pytest.raises(Conflict, match=rf"already running .*process {os.getpid()}"):
        home.lock(tmp_path)
    home.lock(tmp_path).close()


def test_commands_find_secrets_and_address_in_the_folder(tmp_path: Path) -> None:
    home.make(settings(tmp_path))
    home.remember_address(tmp_path, "http://127.0.0.1:9999")
    found = home.environment({"PILOTHOUSE_DATA_DIR": str(tmp_path)})
    assert found["PILOTHOUSE_BASE_URL"] == "http://127.0.0.1:9999"
    assert len(found["PILOTHOUSE_SECRET_KEY"]) == 64
    assert "PILOTHOUSE_REDIS_URL" not in found


def test_the_environment_wins_over_the_folder(tmp_path: Path) -> None:
    home.make(settings(tmp_path))
    given = {"PILOTHOUSE_DATA_DIR": str(tmp_path), "PILOTHOUSE_SECRET_KEY": "mine", "PILOTHOUSE_BASE_URL": "https://x"}
    assert home.environment(given) == given
