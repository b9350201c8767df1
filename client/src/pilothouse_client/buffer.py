"""What waits to be sent: a queue with a bound, in signals and in bytes."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pilothouse_client.shield import Tally

# Also one request: far below the server's bounds of 5,000 signals and 10 MiB, so that a batch is refused or lost small.
BATCH_SIGNALS = 200
BATCH_BYTES = 4 * 1024 * 1024
MAX_BYTES = 32 * 1024 * 1024


class Buffer:
    """Encoded signals in the order they came. When it is full the newest are dropped and counted.

    The newest, because what is in the buffer holds the starts: an end without its start tells less than the reverse.
    `pending` counts also what was taken out and is still under way, until `done` says that it is sent or spooled.
    """

    def __init__(self, limit: int, dropped: Tally) -> None:
        self._limit = limit
        self._dropped = dropped
        self._waiting: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self._bytes = 0
        # A condition's own lock is re-entrant: a signal handler of the program may report while `put` runs.
        self.changed = threading.Condition()

    @property
    def pending(self) -> int:
        """Signals that are neither sent nor spooled."""
        return len(self._waiting) + len(self._taken)

    @property
    def batch_is_full(self) -> bool:
        """Whether there is enough for a request that needs no waiting for more."""
        return len(self._waiting) >= BATCH_SIGNALS or self._bytes >= BATCH_BYTES

    @property
    def waiting(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._waiting)

    def put(self, signal: bytes) -> bool:
        """Add a signal; return False where it was dropped because the buffer is full."""
        with self.changed:
            kept = len(self._waiting) < self._limit and self._bytes + len(signal) <= MAX_BYTES
            if kept:
                self._waiting.append(signal)
                self._bytes += len(signal)
                self.changed.notify_all()
        self._dropped.add(0 if kept else 1)
        return kept

    def take(self) -> list[bytes]:
        """Return the next batch, at least one signal where there is any; it stays pending until `done`."""
        with self.changed:
            size = 0
            while self._waiting and len(self._taken) < BATCH_SIGNALS and size < BATCH_BYTES:
                signal = self._waiting.popleft()
                size += len(signal)
                self._taken.append(signal)
            self._bytes -= size
            return list(self._taken)

    def done(self) -> None:
        """Say that the batch taken last is sent, spooled or refused."""
        with self.changed:
            self._taken.clear()
            self.changed.notify_all()

    def give_back(self) -> None:
        """Put the batch taken last back to the front, as it could be neither sent nor spooled."""
        with self.changed:
            self._waiting.extendleft(reversed(self._taken))
            self._bytes += sum(map(len, self._taken))
            self._taken.clear()

    def empty(self) -> list[bytes]:
        """Take out and return everything, also what is under way."""
        with self.changed:
            everything = [*self._taken, *self._waiting]
            self._taken.clear()
            self._waiting.clear()
            self._bytes = 0
            self.changed.notify_all()
            return everything
