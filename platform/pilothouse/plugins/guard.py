"""The guard: code of plugins runs through it, so that a failing plugin is contained, counted and rested.

A contribution that fails five times in a row is told of, and where it runs by `call` or `ask` it is left out for 30 seconds
(quarantine): a broken panel then costs nothing, and comes back by itself when its cause is gone. What may not be left out (a
page that somebody opened, a recorder) runs on its own and is noted with `note` and `note_success`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pilothouse import clock, logs
from pilothouse.errors import PilothouseError
from pilothouse.faults import describe, where

TRIES = 5
REST = 30 * clock.SECOND


@dataclass(slots=True)
class Failures:
    """What went wrong with one contribution of one plugin."""

    count: int = 0
    in_a_row: int = 0
    last_at: int = 0
    last_reason: str = ""
    resting_until: int = 0


@dataclass(frozen=True, slots=True)
class Rested:
    """A contribution that began to rest: whose, which, and what it failed with last."""

    plugin: str
    what: str
    reason: str


class PluginFailed(Exception):
    """A guarded call failed or is resting; the cause is in `__cause__` and in the guard's list."""


@dataclass(slots=True)
class Guard:
    """Runs contributions and keeps what failed, by plugin and contribution."""

    failures: dict[tuple[str, str], Failures] = field(default_factory=dict)
    rested: list[Rested] = field(default_factory=list)  # since somebody took them, to tell people
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, plugin: str, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the function and return its result. Raises PluginFailed where it raises or rests."""
        return self._call(plugin, what, (), functools.partial(function, *args, **kwargs))

    def ask(self, plugin: str, what: str, function: Callable[..., Any], **kwargs: Any) -> Any:
        """Call a runtime hook: what it raises on purpose ("the budget is used up") is an answer and goes up as it is."""
        return self._call(plugin, what, (PilothouseError,), functools.partial(function, **kwargs))

    def doubts(self, plugin: str, what: str) -> bool:
        """Say whether a contribution failed the last time, so that it may only be called through the guard."""
        seen = self.failures.get((plugin, what))
        return seen is not None and seen.in_a_row > 0

    def _call(self, plugin: str, what: str, answers: tuple[type[Exception], ...], function: Callable[[], Any]) -> Any:
        seen = self.failures.get((plugin, what))
        if seen is not None and seen.resting_until > clock.now():
            raise PluginFailed(f"{plugin} rests after failing {TRIES} times: {seen.last_reason}")
        try:
            result = function()
        except answers:
            raise
        except Exception as fault:  # whatever a plugin raises is its own failure
            self.note(plugin, what, fault)
            raise PluginFailed(f"{plugin}: {what} failed") from fault
        self.note_success(plugin, what)
        return result

    def note_success(self, plugin: str, what: str) -> None:
        """Note that a contribution worked: its next failure is the first in a row."""
        seen = self.failures.get((plugin, what))
        if seen is not None:
            seen.in_a_row = 0

    def note(self, plugin: str, what: str, fault: BaseException) -> None:
        """Count a failure and log it."""
        with self._lock:
            seen = self.failures.setdefault((plugin, what), Failures())
            seen.count += 1
            seen.in_a_row += 1
            seen.last_at = clock.now()
            seen.last_reason = describe(fault)
            if seen.in_a_row >= TRIES:
                seen.resting_until = seen.last_at + REST
            if seen.in_a_row == TRIES:  # not at each further try: it is told of once until it has worked again
                self.rested.append(Rested(plugin, what, seen.last_reason))
        logs.get("plugins").error("plugin_failed", plugin=plugin, what=what, reason=seen.last_reason, where=where(fault))

    def take_rested(self) -> list[Rested]:
        """Return what began to rest since the last time."""
        with self._lock:
            taken, self.rested = self.rested, []
        return taken

    def of(self, plugin: str) -> dict[str, Failures]:
        """Return what failed of one plugin."""
        with self._lock:
            return {what: failures for (name, what), failures in self.failures.items() if name == plugin}
