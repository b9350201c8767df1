"""Recording events: the first report of an id is stored and counted, later ones change nothing.

Runs inside the ingest transaction, one writer at a time; a few bulk statements a batch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, case
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.sdk import DAY, Batch, Bulk, Recorded, insert_ignore, json_text, known_ids
from pilothouse_telemetry import counting
from pilothouse_telemetry.models import EventUser, EventUserWeek, TelemetryEvent, week_of

EVENTS: Table = TelemetryEvent.__table__  # type: ignore[assignment]
USERS: Table = EventUser.__table__  # type: ignore[assignment]
USER_WEEKS: Table = EventUserWeek.__table__  # type: ignore[assignment]
COLUMNS = tuple(column.name for column in EVENTS.columns)
LONGEST_MS = 366 * DAY  # an event that lasts longer is a broken clock, and sums of microseconds must stay below 2**63

_INSERT = Bulk(EVENTS, COLUMNS)


def record_events(batch: Batch) -> Recorded:
    """Store the events that are new; a known id is a duplicate, an impossible duration is refused."""
    seen = known_ids(batch.connection, EVENTS, [signal.id for signal in batch.signals])
    duplicates: set[int] = set()
    rejected: dict[int, str] = {}
    rows: list[tuple[Any, ...]] = []
    people: dict[str, list[int]] = {}
    for place, signal in enumerate(batch.signals):
        if signal.id in seen:
            duplicates.add(place)
            continue
        if signal.duration_ms is not None and signal.duration_ms > LONGEST_MS:
            rejected[place] = "duration_ms is longer than a year"
            continue
        seen.add(signal.id)
        at = batch.received_at if signal.at is None else signal.at
        rows.append(_row(signal, at))
        counting.add(batch.measures, signal, at)
        if signal.user:
            people.setdefault(signal.user, []).append(at)
    _INSERT.insert(batch.connection, rows)
    _note_people(batch.connection, people)
    return Recorded(duplicates=frozenset(duplicates), rejected=rejected)


def _row(signal: Any, at: int) -> tuple[Any, ...]:
    return (
        signal.id, signal.name, signal.component, signal.user, signal.session, signal.duration_ms, signal.ok, at,
        json_text(signal.properties),
    )  # fmt: skip


def _note_people(connection: Connection, people: dict[str, list[int]]) -> None:
    """Keep when each person was first and last heard of, and in which weeks."""
    if not people:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(USERS)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[USERS.c.name],
        set_={
            "first_at": case((new.first_at < USERS.c.first_at, new.first_at), else_=USERS.c.first_at),
            "last_at": case((new.last_at > USERS.c.last_at, new.last_at), else_=USERS.c.last_at),
        },
        where=(new.first_at < USERS.c.first_at) | (new.last_at > USERS.c.last_at),
    )
    rows = [{"name": name, "first_at": min(times), "last_at": max(times)} for name, times in sorted(people.items())]
    connection.execute(statement, rows)
    weeks = sorted({(week_of(at), name) for name, times in people.items() for at in times})
    insert_ignore(connection, USER_WEEKS, [{"week": week, "name": name} for week, name in weeks])
