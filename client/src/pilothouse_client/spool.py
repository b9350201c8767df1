"""What could not be sent lies in files until the server is back, also beyond the end of the process."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pilothouse_client.ids import IdSource

try:
    import fcntl
except ImportError:  # Windows: two processes may send a file twice there, which the server tells by its ids
    fcntl = None  # type: ignore[assignment]  # a module that is not there

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pilothouse_client.shield import Tally

ENDING = ".signals"
UNFINISHED = ".tmp"
# One would do for one process that starts; many may start at once.
TRIES = 5


class Spool:
    """Files of signals for one server, one signal a line, oldest first; safe with several processes.

    A file appears whole by a rename and is locked by who writes or sends it; the lock ends with its process, however
    that ends: what is unfinished and not locked was left behind.
    There is no fsync: the files outlive the process, not a power cut. Names are `<uuid7>-<signals>.signals`.
    """

    def __init__(self, folder: Path, url: str, max_bytes: int, dropped: Tally) -> None:
        # A folder for each address: what was meant for one server is never sent to another.
        self.folder = folder / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._max_bytes = max_bytes
        self._dropped = dropped
        self._ids = IdSource()

    def put(self, signals: list[bytes]) -> bool:
        """Store signals as one new file; return False where the folder cannot be written."""
        name, content = f"{self._ids.new()}-{len(signals)}", b"\n".join(signals)
        try:
            self._write_again(name, content)
        except OSError:
            self.remove(self.folder / (name + UNFINISHED))
            return False
        self._keep_bound()
        return True

    def _write_again(self, name: str, content: bytes) -> None:
        """Write a file, again where a process that starts just now saw it before it was locked, and cleared it away."""
        for _ in range(TRIES - 1):
            with suppress(FileNotFoundError):
                return self._write(name, content)
        return self._write(name, content)

    def _write(self, name: str, content: bytes) -> None:
        unfinished, whole = self.folder / (name + UNFINISHED), self.folder / (name + ENDING)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            _lock(handle)
            file.write(content)
            file.flush()
            if fcntl is not None:
                unfinished.replace(whole)
                _unlock(handle)
        if fcntl is None:  # Windows renames no file that is open, and deletes none
            unfinished.replace(whole)

    def clear(self) -> None:
        """Delete the unfinished files of processes that were killed; what a living one writes stays."""
        with suppress(OSError):
            for path in [path for path in self.folder.iterdir() if path.suffix == UNFINISHED]:
                with _locked(path) as content:
                    abandoned = content is not None
                if abandoned:
                    self.remove(path)

    def files(self) -> list[Path]:
        """Return the files that wait, oldest first; none where the folder is not there or cannot be read."""
        with suppress(OSError):
            return sorted(path for path in self.folder.iterdir() if path.suffix == ENDING)
        return []

    @contextmanager
    def claim(self) -> Iterator[tuple[Path, list[bytes]] | None]:
        """Give the oldest file that no other process is sending, with its signals; hold it until the block ends."""
        for path in self.files():
            with _locked(path) as content:
                if content is not None:
                    yield path, content.split(b"\n")
                    return
        yield None

    @staticmethod
    def remove(path: Path) -> None:
        """Delete a file that was sent; one that is gone already is no fault."""
        with suppress(OSError):
            path.unlink()

    def _keep_bound(self) -> None:
        """Drop the oldest files until the rest is within the bound, and count their signals."""
        sizes = [(path, _size(path)) for path in self.files()]
        excess = sum(size for _, size in sizes) - self._max_bytes
        for path, size in sizes:
            if excess <= 0:
                return
            excess -= size
            self.remove(path)
            self._dropped.add(_count(path))


@contextmanager
def _locked(path: Path) -> Iterator[bytes | None]:
    """Give the content of a file and lock it meanwhile; None where another process holds it or has sent it."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        yield None
        return
    with os.fdopen(handle, "rb") as file:
        yield file.read() if _lock(handle) and path.exists() else None
        _unlock(handle)


def _lock(handle: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlock(handle: int) -> None:
    """Unlock by name, for a forked child shares the open file: closing ours would leave it locked."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _count(path: Path) -> int:
    """Return how many signals a file holds, by its name."""
    count = path.stem.rpartition("-")[2]
    return int(count) if count.isdigit() else 1
