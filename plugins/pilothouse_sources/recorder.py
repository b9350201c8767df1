"""Counting what arrives: a row a day, client and token, in the transaction that stores the signals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select

from pilothouse.sdk import DAY, Arrival, Bulk, Refusal, clean_text
from pilothouse_sources.clients import client_of
from pilothouse_sources.models import LONGEST_FIELD, LONGEST_ID, LONGEST_MESSAGE, SourceDay, SourceRefusal

MOST_CLIENTS = 100  # of a token a day: names are what clients say, and one that says another each time must not fill the disk
MOST_REASONS = 100  # of one client a day
OTHERS = ("(others)", "")  # the client of what is beyond
OTHER_REASONS = ("", "(other reasons)")
MOST_KNOWN = 4_096

Key = tuple[int, str, str, str]  # day, token, client, version
Reason = tuple[Key, tuple[str, str]]  # and field, message
_DAYS: Table = SourceDay.__table__
_REFUSALS: Table = SourceRefusal.__table__
_SUMS = ("requests", "accepted", "duplicates", "rejected")
_KEY = ("day", "token_id", "client", "version")


def _added(table: str, names: Iterable[str], latest: str) -> str:
    """Write what an UPSERT does to a row that is there: sums are added, and the later moment stays."""
    sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in names)
    newer = f"excluded.{latest} > {table}.{latest}"
    return f"{sums}, {latest} = CASE WHEN {newer} THEN excluded.{latest} ELSE {table}.{latest} END"


_COUNT = Bulk(
    _DAYS, (*_KEY, *_SUMS, "last_at"),
    on_conflict=f"({', '.join(_KEY)}) DO UPDATE SET {_added('source_days', _SUMS, 'last_at')}",
)  # fmt: skip
_NOTE = Bulk(
    _REFUSALS, (*_KEY, "field", "message", "count", "last_at", "last_signal"),
    on_conflict=f"({', '.join(_KEY)}, field, message) DO UPDATE SET "
    f"{_added('source_refusals', ('count',), 'last_at')}, last_signal = excluded.last_signal",
)  # fmt: skip


class Tally:
    """Counts what comes in with access tokens; one an application."""

    def __init__(self) -> None:
        """Start without knowing what is stored."""
        self._known: set[Any] = set()  # rows of which it is known that they are there

    def take(self, connection: Connection, arrivals: Sequence[Arrival]) -> None:
        """Count arrivals; what Pilothouse reports of itself and what people edit is none.

        Those who were turned away are counted too, also without a known token (their token is "").
        """
        counted: dict[Key, list[int]] = {}
        reasons: dict[Reason, list[Any]] = {}
        added: Counter[Any] = Counter()  # rows that these arrivals add, by what limits their number
        for arrival in arrivals:
            if arrival.source.edit or (arrival.source.token_id is None and not arrival.turned_away):
                continue
            key = self._client(connection, arrival, added)
            row = counted.setdefault(key, [0, 0, 0, 0, arrival.at])
            requests = row[0] + (arrival.turned_away or 1)
            row[:] = (requests, row[1] + arrival.accepted, row[2] + arrival.duplicates, row[3] + arrival.rejected,
                      max(row[4], arrival.at))  # fmt: skip
            for refusal in arrival.refusals:
                told = reasons.setdefault(self._reason(connection, key, refusal, added), [0, arrival.at, None])
                told[:] = told[0] + refusal.count, arrival.at, _kept_id(refusal.signal_id)
        if counted:
            _COUNT.insert(connection, [(*key, *row) for key, row in sorted(counted.items())])
        if reasons:
            _NOTE.insert(connection, [(*key, *texts, *told) for (key, texts), told in sorted(reasons.items())])

    def _client(self, connection: Connection, arrival: Arrival, added: Counter[Any]) -> Key:
        token = arrival.source.token_id or ""
        day = arrival.at - arrival.at % DAY
        key = (day, token, *client_of(arrival.source.client))
        if key in self._known:
            return key
        table = SourceDay.__table__.c
        there = select(func.count()).where(table.day == day, table.token_id == token)
        room = added[day, token] + (connection.scalar(there) or 0) < MOST_CLIENTS
        return self._know(key, added, (day, token)) if room else (day, token, *OTHERS)

    def _reason(self, connection: Connection, key: Key, refusal: Refusal, added: Counter[Any]) -> Reason:
        """Return a refusal's reason as it is kept: without secrets, since messages may quote what was sent."""
        texts = clean_text(refusal.field)[:LONGEST_FIELD], clean_text(refusal.message)[:LONGEST_MESSAGE]
        if (key, texts) in self._known:
            return key, texts
        found: Reason = (key, texts)
        if added[key] < MOST_REASONS:
            table = SourceRefusal.__table__.c
            there = select(func.count()).where(*(getattr(table, name) == value for name, value in zip(_KEY, key, strict=True)))
            if added[key] + (connection.scalar(there) or 0) < MOST_REASONS:
                self._know(found, added, key)
                return found
            added[key] = MOST_REASONS  # full: the reasons that follow need not ask
        return key, OTHER_REASONS

    def _know(self, row: Any, added: Counter[Any], within: Any) -> Any:
        """Take note of a row that will be there."""
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(row)
        added[within] += 1
        return row


def _kept_id(signal_id: str | None) -> str | None:
    """Return the id of a refused signal as it can be kept: it may be the very thing that was wrong."""
    return None if signal_id is None else clean_text(signal_id[:LONGEST_MESSAGE])[:LONGEST_ID]
