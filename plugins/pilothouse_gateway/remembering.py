"""Answers of runtime hooks that are asked before every call: remembered for a moment, so that a call costs no query.

What this process changes itself holds at once (a key that is revoked, a budget that is set); what another process
changes, a second later. Secrets are among the answers: they stay in memory, and no longer than that second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from pilothouse.sdk import runtime

KEPT_S = 1.0
MOST = 1_000  # answers; then all are forgotten

T = TypeVar("T")


class Remembered:
    """Answers by question; safe to use from any thread."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._lock = threading.Lock()
        self._answers: dict[Hashable, object] = {}
        self._until = 0.0
        self._said = -1

    def get(self, question: Hashable, ask: Callable[[], T], *, worth: Callable[[T], bool]) -> T:
        """Return the answer to a question, asked now unless it is known; only an answer that is worth it is kept."""
        said = runtime().changes.said
        with self._lock:
            if said != self._said or time.monotonic() > self._until or len(self._answers) >= MOST:
                self._answers.clear()
                self._said, self._until = said, time.monotonic() + KEPT_S
            if question in self._answers:
                return self._answers[question]  # type: ignore[return-value]  # what `ask` returned before
        answer = ask()
        if worth(answer):
            with self._lock:
                if said == self._said:
                    self._answers[question] = answer
        return answer
