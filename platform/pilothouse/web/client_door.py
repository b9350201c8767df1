"""The door of a client's own format: only so many of their requests work at once, so that the console keeps some threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pilothouse.contract.recording import Source
from pilothouse.errors import PilothouseError
from pilothouse.runtime import runtime

MOST_AT_ONCE = 12  # of a server's 16 threads: the console stays open however much comes
WAIT_S = 2.0  # how long one more request may wait for its turn before it is sent away


class Door:
    """Lets in so many requests at once; one an application, made where the plugin returns its blueprints."""

    def __init__(
        self,
        source: Callable[[], Source],
        full: Callable[[], PilothouseError],
        *,
        most: int = MOST_AT_ONCE,
        wait_s: float = WAIT_S,
    ) -> None:
        """Take who sends the running request, and what is raised where none comes in.

        `most` requests work at once, and one more waits up to `wait_s` seconds.
        """
        self._source, self._full, self._wait_s = source, full, wait_s
        self._places = threading.BoundedSemaphore(most)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Take a place for the time of the block. Raises what `full` returns where none comes free in time."""
        if not self._places.acquire(timeout=self._wait_s):
            raise self._full()
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Take a place for the running request, and let those hear of it who count what is refused."""
        with self.enter(), runtime().ingest.watched(self._source()):
            yield
