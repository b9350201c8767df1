"""What became of one request's signals: how many were stored, which were not and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pilothouse import clock
from pilothouse.contract.arrivals import Arrival, Refusal
from pilothouse.contract.recording import Source
from pilothouse.errors import FieldError

_PLACES = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class Rejection:
    """A signal that was not stored: its place in the request, its id where it had a readable one, and why."""

    index: int
    id: str | None
    errors: list[FieldError]


@dataclass(slots=True)
class Outcome:
    """What became of one request's signals."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Count what became of further signals of the request."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.rejected += other.rejected


def arrival_of(source: Source, *parts: Outcome) -> Arrival:
    """Return what sinks of arrivals are told of a request: what became of it while it was read, and while it was recorded."""
    whole = Outcome()
    for part in parts:
        whole.add(part)
    refusals = [
        Refusal(_PLACES.sub("[]", error.path), error.message, rejection.id)
        for rejection in whole.rejected
        for error in rejection.errors
    ]
    return Arrival(source, clock.now(), whole.accepted, whole.duplicates, len(whole.rejected), refusals)
