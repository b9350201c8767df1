"""The data folder: what `pilothouse up` makes in it, and what the other commands read from it.

- `pilothouse.db`: the database, unless PILOTHOUSE_DATABASE_URL names another
- `secret.key`: signs cookies and CSRF tokens (0600)
- `master.keys`: opens the vault (0600)
- `outbox/`: mails, while there is no SMTP server
- `valkey/`: the embedded broker's append-only file and log
- `run/`: lock, address and sockets of a running Pilothouse
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pilothouse import embedded
from pilothouse.crypto import MASTER_FILE, add_master_key
from pilothouse.errors import Conflict, SettingsError
from pilothouse.settings import Settings, read_settings

SECRET_FILE = "secret.key"  # noqa: S105 - the file's name
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables, with those that are unset filled in from the data folder where it has them.

    So every command works on a folder that `up` made, and finds the broker and the address of a running `up`.
    """
    found = dict(environ)
    data_dir = read_settings(
        {"PILOTHOUSE_DATA_DIR": environ.get("PILOTHOUSE_DATA_DIR", "")}, require_secrets=False
    ).data_dir
    known = {
        "PILOTHOUSE_SECRET_KEY": _read(data_dir / SECRET_FILE),
        "PILOTHOUSE_REDIS_URL": embedded.running_url(data_dir),
        "PILOTHOUSE_BASE_URL": _read(_address_file(data_dir)),
    }
    for name, value in known.items():
        if value and not found.get(name):
            found[name] = value
    return found


def make(settings: Settings) -> None:
    """Make the data folder and the secrets that are missing. Raises SettingsError where that is not possible."""
    data_dir = settings.data_dir
    try:
        for folder in (data_dir, data_dir / "run"):
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            folder.chmod(PRIVATE_FOLDER)
        if not settings.values["PILOTHOUSE_SECRET_KEY"] and not (data_dir / SECRET_FILE).exists():
            _write_private(data_dir / SECRET_FILE, secrets.token_hex(32))
        elsewhere = settings.values["PILOTHOUSE_MASTER_KEYS"] or settings.values["PILOTHOUSE_MASTER_KEYS_COMMAND"]
        if not elsewhere and not (data_dir / MASTER_FILE).exists():
            add_master_key(data_dir / MASTER_FILE)
    except OSError as fault:
        raise SettingsError(f"PILOTHOUSE_DATA_DIR {data_dir} cannot be used: {fault.strerror or fault}") from fault


def lock(data_dir: Path) -> IO[str]:
    """Lock the data folder for one `up`; the lock ends with the process or when the file is closed.

    Raises Conflict where another `up` has it.
    """
    file = (data_dir / "run" / "up.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise Conflict(f"pilothouse is already running on {data_dir} (process {owner})") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


@contextmanager
def made(data_dir: Path) -> Iterator[None]:
    """Make the data folder and hold its lock during the block. Raises Conflict where an `up` has it."""
    (data_dir / "run").mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    data_dir.chmod(PRIVATE_FOLDER)
    with lock(data_dir):
        yield


def remember_address(data_dir: Path, address: str) -> None:
    """Leave the address of the running server for the other commands."""
    _write_private(_address_file(data_dir), address)


def _address_file(data_dir: Path) -> Path:
    return data_dir / "run" / "address"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
