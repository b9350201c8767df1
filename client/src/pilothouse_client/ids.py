"""Ids of signals: UUIDv7, rising within a process."""

from __future__ import annotations

import os
import threading
import time
import uuid

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62


class IdSource:
    """Makes UUIDv7 ids (RFC 9562, section 5.7, method 3: the fraction of the millisecond in `rand_a`).

    Each id is above the one before it, also when the clock stands still or is set back. The lower 62 bits are random
    from the operating system, so that forked processes never make the same id.
    """

    def __init__(self) -> None:
        self._last = 0
        # Re-entrant: a signal handler of the program may ask for an id while one is being made.
        self._lock = threading.RLock()

    def new(self) -> str:
        """Return the next id in its usual text form of 36 characters."""
        with self._lock:
            self._last = max(_ticks(), self._last + 1)
            ticks = self._last
        milliseconds, fraction = ticks >> 12, ticks & 0xFFF
        random = int.from_bytes(os.urandom(8), "big") >> 2
        return str(uuid.UUID(int=milliseconds << 80 | _VERSION_7 | fraction << 64 | _VARIANT_RFC | random))


def _ticks() -> int:
    """Return the Unix time in 4096ths of a millisecond."""
    return time.time_ns() * 4096 // 1_000_000
