"""Environments of clients' own for the live tests: Python packages in a venv, or Node's in a folder, kept between runs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from uv import find_uv_bin

KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pilothouse-tests"
READY = "ready"  # the file that says that everything is there


def python_with(*packages: str) -> Path:
    """Return the Python of an environment that has some packages; skips where they cannot be installed."""
    folder = _made("python", (sys.version, *packages), lambda into: _make_venv(into, packages))
    return folder / "bin" / "python"


def node_with(*packages: str) -> Path:
    """Return a folder in whose `node_modules` some packages are; skips where they cannot be installed or Node is absent."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not installed")
    return _made("node", packages, lambda into: _install_node(into, packages))


def module_beside(folder: Path, place: Path, text: str) -> Path:
    """Write a module of Node's to an empty place, where it finds the packages of a folder; return its path."""
    (place / "node_modules").symlink_to(folder / "node_modules")
    module = place / "program.mjs"
    module.write_text(text)
    return module


def _make_venv(folder: Path, packages: Sequence[str]) -> None:
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    _run(find_uv_bin(), "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *packages)


def _install_node(folder: Path, packages: Sequence[str]) -> None:
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[-1]} cannot be installed: {(done.stderr or done.stdout)[-300:]}")


def _made(kind: str, names: Sequence[str], make: Callable[[Path], None]) -> Path:
    key = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    folder = KEPT / f"{kind}-{key}"
    KEPT.mkdir(parents=True, exist_ok=True)
    with _locked(KEPT / f"{kind}-{key}.lock"):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / READY).touch()
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time make an environment."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
