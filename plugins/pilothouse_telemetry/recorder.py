"""Recording events: the first report of an id is stored and counted, later ones change nothing.

Runs inside the ingest transaction, one writer at a time; a few bulk statements a batch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table

from pilothouse.sdk import Batch, Bulk, Recorded, json_text, known_ids
from pilothouse_telemetry import counting
from pilothouse_telemetry.models import ChartMark, EventUser, EventUserWeek, TelemetryEvent, week_of

EVENTS: Table = TelemetryEvent.__table__
USERS: Table = EventUser.__table__
USER_WEEKS: Table = EventUserWeek.__table__
MARKS: Table = ChartMark.__table__
COLUMNS = tuple(column.name for column in EVENTS.columns)

_INSERT = Bulk(EVENTS, COLUMNS)
_NOTE = Bulk(
    USERS,
    ("name", "first_at", "last_at"),
    on_conflict=f"(name) DO UPDATE SET first_at = CASE WHEN excluded.first_at < {USERS.name}.first_at"
    f" THEN excluded.first_at ELSE {USERS.name}.first_at END, last_at = CASE WHEN excluded.last_at > {USERS.name}.last_at"
    f" THEN excluded.last_at ELSE {USERS.name}.last_at END"
    f" WHERE excluded.first_at < {USERS.name}.first_at OR excluded.last_at > {USERS.name}.last_at",
)
_NOTE_RELEASE = Bulk(
    MARKS,
    ("id", "at", "text"),
    on_conflict=f"(id) DO UPDATE SET at = excluded.at WHERE excluded.at < {MARKS.name}.at",
)
_NOTE_WEEK = Bulk(USER_WEEKS, ("week", "name"), ignore_conflicts=True)


def record_events(batch: Batch) -> Recorded:
    """Store the events that are new; a known id is a duplicate."""
    seen = known_ids(batch.connection, EVENTS, [signal.id for signal in batch.signals])
    duplicates: set[int] = set()
    rows: list[tuple[Any, ...]] = []
    people: dict[str, list[int]] = {}
    for place, signal in enumerate(batch.signals):
        if signal.id in seen:
            duplicates.add(place)
            continue
        seen.add(signal.id)
        at = batch.received_at if signal.at is None else signal.at
        rows.append(_row(signal, at))
        counting.add(batch.measures, signal, at)
        if signal.user:
            people.setdefault(signal.user, []).append(at)
    _INSERT.insert(batch.connection, rows)
    _note_people(batch.connection, people)
    return Recorded(duplicates=frozenset(duplicates))


def note_releases(batch: Batch) -> None:
    """Mark when each release was first heard of: the earliest of its executions and errors."""
    first: dict[str, int] = {}
    for signal in batch.signals:
        if signal.release:
            at = getattr(signal, "started_at", None) or getattr(signal, "at", None) or batch.received_at
            first[signal.release] = min(at, first.get(signal.release, at))
    rows = [(f"release:{name}", at, f"Release {name}") for name, at in sorted(first.items())]
    _NOTE_RELEASE.insert(batch.connection, rows)


def _row(signal: Any, at: int) -> tuple[Any, ...]:
    return (
        signal.id, signal.name, signal.component, signal.user, signal.session, signal.duration_ms, signal.ok, at,
        json_text(signal.properties),
    )  # fmt: skip


def _note_people(connection: Connection, people: dict[str, list[int]]) -> None:
    """Keep when each person was first and last heard of, and in which weeks."""
    _NOTE.insert(connection, [(name, min(times), max(times)) for name, times in sorted(people.items())])
    weeks = {(week_of(at), name) for name, times in people.items() for at in times}
    _NOTE_WEEK.insert(connection, sorted(weeks))
