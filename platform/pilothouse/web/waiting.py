"""Answers that take long, such as streams of a model: they wait in threads of their own, not in those of the console.

The server says by a function in the WSGI environment how a thread is lent; where it says nothing (gunicorn and others),
its own threads have to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from flask import request

from pilothouse.errors import Busy

KEY = "pilothouse.lend_thread"  # in the WSGI environment: a function that returns a context
SPARE = 32  # threads that are kept for the next ones: making and ending one a request costs more than keeping it


def long_lived() -> AbstractContextManager[None]:
    """Return a context for a request that will mostly wait: meanwhile another thread does the server's work.

    It may be entered in the handler and left when the answer's iterator is closed, by `contextlib.ExitStack`. Entering it
    raises Busy where as many such requests wait as PILOTHOUSE_LONG_REQUESTS allows.
    """
    lend: Callable[[], AbstractContextManager[None]] = request.environ.get(KEY, nullcontext)
    return lend()


class Threads:
    """The threads of a waitress server: its usual number, and one more for each that is known to wait."""

    def __init__(self, dispatcher: Any, usual: int, most_waiting: int) -> None:
        """Take the server's dispatcher, how many threads it has anyway, and how many more there may be."""
        self._dispatcher, self._usual, self._most = dispatcher, usual, most_waiting
        self._waiting, self._running = 0, usual
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Have a thread more for the time of the block. Raises Busy where there are as many as may be."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        with self._lock:
            if by > 0 and self._waiting >= self._most:
                raise Busy("As many long requests as this server takes are under way.", retry_after=2)
            self._waiting += by
            least = self._usual + self._waiting
            wanted = min(max(self._running, least), least + SPARE)
            if wanted != self._running:
                self._running = wanted
                self._dispatcher.set_thread_count(wanted)
