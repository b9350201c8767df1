"""A command line that runs in this process, on a data folder of its own."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from pilothouse.cli import main
from pilothouse.testing import environment


@dataclass(frozen=True, slots=True)
class Told:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Told]


@pytest.fixture
def place(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a data folder with a migrated database, named by the environment."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(migrated, folder / "pilothouse.db")
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command line and return what it told."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level

    def call(*arguments: str) -> Told:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Told(int(ended.value.code or 0), printed.out, printed.err)

    yield call
    structlog.reset_defaults()
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
