"""The way of every request through this plugin: how many at once, who it is from, and its signals into ingest."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flask import request

from pilothouse.sdk import (
    Busy,
    FieldError,
    Outcome,
    Rejection,
    Signal,
    Source,
    charge,
    current_principal,
    runtime,
    unit_of_work,
)
from pilothouse_otel import service
from pilothouse_otel.points import Point
from pilothouse_otel.spans import Refused

MOST_AT_ONCE = 12  # of a server's 16 threads: the console stays open however much telemetry comes
WAIT_S = 2.0  # how long one more request may wait for its turn before it is sent away
LONGEST_CLIENT = 100
UNREAD = -1  # the place of what could not even be read


class Door:
    """Lets in so many requests at once; one an application."""

    def __init__(self, most: int = MOST_AT_ONCE, wait_s: float = WAIT_S) -> None:
        """Take how many work at once, and how long (seconds) one more may wait."""
        self._places = threading.BoundedSemaphore(most)
        self._wait_s = wait_s

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Take a place for the time of the block. Raises Busy where none comes free in time."""
        if not self._places.acquire(timeout=self._wait_s):
            raise Busy("Too many batches are being stored; send this one again.", retry_after=1)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Take a place for the running request, and let those hear of it who count what is refused."""
        with self.enter(), runtime().ingest.watched(source()):
            yield


def submit(items: Sequence[tuple[int, Signal]], refused: Refused | None = None) -> Refused:
    """Count and store clean signals; returns what was refused, together with what was before."""
    refused = refused or Refused()
    principal = current_principal()
    if principal is None or not (items or refused.count):
        return refused
    charge(principal.id, len(items))
    before = [Rejection(UNREAD, None, [FieldError("", refused.reason)])] * refused.count
    outcome = runtime().ingest.submit(list(items), source(), Outcome(rejected=before))
    places: dict[int, str] = {}
    for rejection in outcome.rejected:
        if rejection.index != UNREAD:
            places.setdefault(rejection.index, rejection.errors[0].message if rejection.errors else "refused")
    for place in sorted(places):
        refused.add(places[place])
    return refused


def submit_points(points: Sequence[Point], refused: Refused) -> Refused:
    """Add clean points to the measures; returns what was refused, together with what was before."""
    principal = current_principal()
    if principal is None or not (points or refused.count):
        return refused
    charge(principal.id, len(points))
    with unit_of_work():
        recorded = service.record_points(points, refused)
        before = [Rejection(UNREAD, None, [FieldError("", refused.reason)])] * refused.count
        told = Outcome(recorded, len(points) - recorded, before)
        runtime().ingest.submit((), source(), told)
    return refused


def source() -> Source:
    """Return who sends the running request."""
    principal = current_principal()
    return Source(principal.token_id if principal else None, client_name())


def client_name() -> str:
    """Return the name by which the sending library introduces itself."""
    name = request.headers.get("X-Langfuse-Sdk-Name")
    version = request.headers.get("X-Langfuse-Sdk-Version", "")
    told = f"langfuse-{name} {version}".strip() if name else request.headers.get("User-Agent", "")
    return told[:LONGEST_CLIENT]
