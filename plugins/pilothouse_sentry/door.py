"""The way of every request through this plugin: how many at once, who it is from, and its signals into ingest."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import request

from pilothouse.sdk import Source, TooManyRequests, charge, current_principal, runtime, unit_of_work
from pilothouse_sentry import service
from pilothouse_sentry.cleaning import scrub
from pilothouse_sentry.translation import Translation

MOST_AT_ONCE = 12  # of a server's 16 threads: the console stays open however much comes
WAIT_S = 2.0  # how long one more request may wait for its turn before it is sent away
LONGEST_CLIENT = 100
_CLIENT = re.compile(r"(?:^|[\s,])sentry_client\s*=\s*([^\s,]+)")


class Door:
    """Lets in so many requests at once; one an application."""

    def __init__(self, most: int = MOST_AT_ONCE, wait_s: float = WAIT_S) -> None:
        """Take how many work at once, and how long (seconds) one more may wait."""
        self._places = threading.BoundedSemaphore(most)
        self._wait_s = wait_s

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Take a place for the time of the block. Raises TooManyRequests where none comes free in time."""
        if not self._places.acquire(timeout=self._wait_s):
            raise TooManyRequests("Too many envelopes are being stored; send again a little later.", retry_after=2)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Take a place for the running request, and let those hear of it who count what is refused."""
        with self.enter(), runtime().ingest.watched(source()):
            yield


def submit(made: Translation) -> None:
    """Clean, count and store signals; check-ins together with what they say of their monitors."""
    principal = current_principal()
    if not made.items or principal is None:
        return
    charge(principal.id, len(made.items))
    signals = scrub(made.items)
    if not made.check_ins:
        runtime().ingest.submit(signals, source())
        return
    with unit_of_work():
        runtime().ingest.submit(signals, source())
        service.note(made.check_ins)


def source() -> Source:
    """Return who sends the running request."""
    principal = current_principal()
    return Source(principal.token_id if principal else None, client_name())


def client_name() -> str:
    """Return the name by which the sending SDK introduces itself."""
    told = _CLIENT.search(request.headers.get("X-Sentry-Auth", "")[:1_000])
    name = told[1] if told else request.args.get("sentry_client") or request.headers.get("User-Agent", "")
    return name[:LONGEST_CLIENT]
