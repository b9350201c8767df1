"""Requests of signals that were turned away at the door: nobody known, not allowed, over a limit.

Anybody can make as many of them as they like, so they are counted in memory, within bounds, and told together: once a second
at most, or with the next report that is stored. What was counted and not told yet ends with the process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from pilothouse import clock
from pilothouse.contract.arrivals import Arrival, Refusal
from pilothouse.contract.recording import Source

PAUSE_S = 1.0  # between two tellings for their own sake
MOST_KINDS = 200  # sources with a reason that are told apart at a time
OTHERS = "(others)"  # the client of what is beyond


class TurnedAway:
    """Counts requests by who sent them and why they were turned away; thread-safe."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._counts: dict[tuple[Source, str], int] = {}
        self._told_at = -PAUSE_S
        self._lock = threading.Lock()

    def add(self, source: Source, reason: str) -> bool:
        """Count a request; says whether it is time to tell."""
        with self._lock:
            key = (source, reason)
            if key not in self._counts and len(self._counts) >= MOST_KINDS:
                key = (replace(source, token_id=None, client=OTHERS), "")
            self._counts[key] = self._counts.get(key, 0) + 1
            return time.monotonic() >= self._told_at + PAUSE_S

    def take(self) -> list[Arrival]:
        """Return what was counted, and begin anew."""
        if not self._counts:
            return []
        with self._lock:
            counts, self._counts, self._told_at = self._counts, {}, time.monotonic()
        at = clock.now()
        return [
            Arrival(source, at, rejected=count, refusals=(Refusal("", reason, count=count),), turned_away=count)
            for (source, reason), count in counts.items()
        ]
