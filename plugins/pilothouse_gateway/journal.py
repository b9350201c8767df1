"""The journal: calls on their way into the database. One file a process, in the data folder, one call a line.

A call is written down when it begins and when it ended, so that it costs a stream no commit and a killed process no
record: whoever comes next finds the file without its owner, records what ended and marks the rest as broken off. While
the database is away the lines wait. A file is locked for as long as its owner lives.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from flask import Flask

from pilothouse.sdk import PilothouseError, new_id, now, runtime
from pilothouse_gateway.calls import Call

FOLDER, ENDING = "gateway", ".jsonl"
ROUND_BYTES = 1024 * 1024  # that are read and stored at once
ROTATED_BYTES = 4 * 1024 * 1024  # of stored lines; then the rest moves to a new file
SHOWN_AFTER_MS = 1_000  # a call that takes longer is recorded as running; most are over before
PAUSE_S = 0.25  # between two rounds: calls that end together are recorded together, at a fraction of the cost
RETRY_S = 1.0
RESTS_AFTER_S = 5.0  # without work the thread ends; the next call starts another one
ANSWER_S = 2.0  # how long an answer waits for its record at most
BROKEN_OFF = "The gateway was stopped while the call was under way."

Store = Callable[[Sequence[Call]], None]


class Journal:
    """The calls of one process, and the thread that stores them; safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        """Take what stores calls inside of an application context. Nothing is opened before the first call."""
        self._store = store
        self._lock = threading.Lock()
        self._pid = 0
        self._file = -1
        self._path = Path()
        self._forget()

    def _forget(self) -> None:
        self._work = threading.Event()
        self._waiters: dict[str, threading.Event] = {}
        self._memory: deque[Call] = deque()  # what the file does not take: the disk is full, the folder not writable
        self._running: dict[str, Call] = {}
        self._shown: set[str] = set()
        self._offset = 0
        self._works = False

    def write(self, app: Flask, call: Call, *, wait: bool = False) -> None:
        """Write a call down, at its beginning and at its end; with `wait` return once it is recorded, or after 2 s."""
        line = msgspec.json.encode(call) + b"\n"
        done = threading.Event()
        with self._lock:
            self._open(app)
            if wait:
                self._waiters[call.id] = done
            try:
                os.write(self._file, line)
            except OSError:
                self._memory.append(call)
            if not self._works:
                self._works = True
                threading.Thread(target=self._run, args=(app,), name="gateway-journal", daemon=True).start()
        if wait:
            self._work.set()
            done.wait(ANSWER_S)
            self._waiters.pop(call.id, None)

    def _open(self, app: Flask) -> None:
        """Open this process's file, once; after a fork it is another process's."""
        if self._pid == os.getpid():
            return
        self.close()
        self._pid = os.getpid()
        self._forget()
        with suppress(OSError):
            self._path, self._file = _made(app)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._pid, self._file = 0, -1

    def __del__(self) -> None:
        """Let go of the file; at the interpreter's end the module `os` may be gone first, and the file goes by itself."""
        if os is not None:
            self.close()

    def _run(self, app: Flask) -> None:
        """Store what comes until nothing has come for a while: the body of the thread."""
        with app.app_context():
            recover(self._store)
        worked = time.monotonic()
        while True:
            self._work.wait(PAUSE_S)
            self._work.clear()
            try:
                with app.app_context():
                    busy = self._round()
            except PilothouseError:  # the database is away or full: the lines wait
                time.sleep(RETRY_S)
                busy = True
            if busy:
                worked = time.monotonic()
            elif time.monotonic() > worked + RESTS_AFTER_S and self._rests():
                return

    def _round(self) -> bool:
        """Store the next calls; says whether there were any. Raises PilothouseError where the database takes none."""
        lines = _lines(self._file, self._offset)
        kept = len(self._memory)
        calls = [*_calls(lines), *(self._memory[place] for place in range(kept))]
        for call in calls:
            if call.state == "running":
                self._running[call.id] = call
        ended = {call.id: call for call in calls if call.state != "running"}
        late = now() - SHOWN_AFTER_MS
        long = [c for c in self._running.values() if c.id not in ended and c.id not in self._shown and c.started_at < late]
        if ended or long:
            self._store([*ended.values(), *long])
        self._offset += len(lines)
        for _ in range(kept):
            self._memory.popleft()
        self._shown.update(call.id for call in long)
        for key in ended:
            self._running.pop(key, None)
            self._shown.discard(key)
            waiter = self._waiters.get(key)
            if waiter is not None:
                waiter.set()
        if self._offset > ROTATED_BYTES:
            self._rotate()
        return bool(lines or kept or self._running)

    def _rotate(self) -> None:
        """Go on in a new file, which begins with the calls that still run."""
        with self._lock, suppress(OSError):
            path, file = _made_in(self._path.parent)
            running = b"".join(msgspec.json.encode(call) + b"\n" for call in self._running.values())
            rest = os.pread(self._file, os.fstat(self._file).st_size - self._offset, self._offset)
            os.write(file, running + rest)
            os.close(self._file)
            self._path.unlink()
            self._path, self._file, self._offset = path, file, len(running)

    def _rests(self) -> bool:
        """End the thread's work and empty the file, unless something has come meanwhile."""
        with self._lock:
            if self._memory or (self._file >= 0 and os.fstat(self._file).st_size > self._offset):
                return False
            if self._file >= 0:
                os.ftruncate(self._file, 0)
            self._offset, self._works = 0, False
            return True


def recover(store: Store) -> None:
    """Record what ended processes left behind. Inside an application context; what cannot be stored now stays."""
    for path in sorted((runtime().settings.data_dir / FOLDER).glob(f"*{ENDING}")):
        with suppress(OSError, PilothouseError):
            file = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _take_over(file, store)
                path.unlink()
            finally:
                os.close(file)


def _take_over(file: int, store: Store) -> None:
    found: dict[str, Call] = {}
    offset = 0
    while lines := _lines(file, offset):
        offset += len(lines)
        for call in _calls(lines):
            if call.id not in found or found[call.id].state == "running":
                found[call.id] = call
    for call in found.values():
        if call.state == "running":
            call.fail("gateway_stopped", BROKEN_OFF)
            call.finished_at = now()
    if found:
        store(list(found.values()))


def _made(app: Flask) -> tuple[Path, int]:
    with app.app_context():
        folder = runtime().settings.data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _made_in(folder)


def _made_in(folder: Path) -> tuple[Path, int]:
    """Make a file that is this process's own."""
    path = folder / f"{new_id()}{ENDING}"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return path, file


def _lines(file: int, offset: int) -> bytes:
    """Return whole lines from an offset on; a longer line than a round takes is read alone."""
    if file < 0:
        return b""
    size = ROUND_BYTES
    while True:
        found = os.pread(file, size, offset)
        end = found.rfind(b"\n") + 1
        if end or len(found) < size:
            return found[:end]
        size *= 2


def _calls(lines: bytes) -> Iterator[Call]:
    for line in lines.splitlines():
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # a line that a power failure cut
            yield msgspec.json.decode(line, type=Call)
