"""What became of each request of signals, for those who take note of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pilothouse.contract.recording import Source


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a signal was not stored: the field, with every place in a list as `[]`, and what is wrong with it."""

    field: str
    message: str
    signal_id: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of one request's signals: who sent them, and how many were new, known before and refused.

    A request that was refused as a whole counts as one that was rejected; its refusal names no field. `turned_away` is the
    number of requests that were not even let in (401, 403, 429), which are told together; `source.token_id` is None where
    no token was known.
    """

    source: Source
    at: int
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    refusals: Sequence[Refusal] = ()
    turned_away: int = 0


@dataclass(frozen=True, slots=True)
class ArrivalSink:
    """Takes in what became of each request of signals.

    `take` gets what one transaction recorded, at its end and inside of it (in a savepoint of its own, on this connection):
    it may write its plugin's own tables, and must be cheap, since every report pays for it.
    """

    name: str
    take: Callable[[Connection, Sequence[Arrival]], None]
