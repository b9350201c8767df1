"""Remembering observations and series of metrics between the requests that tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, func, select

from pilothouse.sdk import DAY, Bulk, Deltas, db, in_list, in_list_sql, lock_writers, now, unit_of_work
from pilothouse_otel import metrics
from pilothouse_otel.models import Observation, Series
from pilothouse_otel.points import Point, State, advance
from pilothouse_otel.spans import Refused

KEPT = 2 * DAY  # longer than any observation stays open
MOST_SERIES = 50_000  # whose last point is remembered: attributes that differ each time must not fill the disk
FORGOTTEN_AT_ONCE = 2_000  # rows a transaction deletes: it holds the writers' lock for some 20 ms

Key = tuple[str, str]  # a trace and an observation of it
Body = dict[str, Any]

_TABLE: Table = Observation.__table__
_SERIES: Table = Series.__table__
_INSERT = Bulk(_TABLE, ("trace_id", "id", "body", "at"), ignore_conflicts=True)
_KEEP = Bulk(
    _SERIES, ("id", "state", "at"), on_conflict="(id) DO UPDATE SET state = excluded.state, at = excluded.at",
)  # fmt: skip


def remember(told: Mapping[Key, Body]) -> dict[Key, Body]:
    """Unite what is told of observations with what was told before; returns the whole of each. What is new stands."""
    if not told:
        return {}
    with unit_of_work() as session:
        connection = session.connection()
        lock_writers(connection)
        ids = in_list(connection, sorted({key for _, key in told}))
        rows = connection.exec_driver_sql(in_list_sql(connection, _TABLE, ("trace_id", "id", "body"), "id"), (ids,))
        known = {(row[0], row[1]): msgspec.json.decode(row[2]) for row in rows}
        united = {key: {**known.get(key, {}), **body} for key, body in told.items()}
        changed = {key: body for key, body in united.items() if body != known.get(key)}
        for trace_id, observation in sorted(changed.keys() & known.keys()):
            connection.execute(delete(_TABLE).where(_TABLE.c.trace_id == trace_id, _TABLE.c.id == observation))
        at = now()
        _INSERT.insert(connection, [(*key, msgspec.json.encode(body).decode(), at) for key, body in sorted(changed.items())])
    return united


def ends_at_the_top(trace_ids: Iterable[str]) -> dict[str, list[Body]]:
    """Return what is remembered of the observations at the top of traces that have ended."""
    wanted = sorted(set(trace_ids))
    if not wanted:
        return {}
    found: dict[str, list[Body]] = {}
    with unit_of_work() as session:
        connection = session.connection()
        statement = in_list_sql(connection, _TABLE, ("trace_id", "body"), "trace_id")
        for trace_id, told in connection.exec_driver_sql(statement, (in_list(connection, wanted),)):
            body = msgspec.json.decode(told)
            if body.get("endTime") and not body.get("parentObservationId"):
                found.setdefault(trace_id, []).append(body)
    return found


def record_points(points: Sequence[Point], refused: Refused) -> int:
    """Add what points tell anew to the measures, in the caller's unit of work; returns how many told something new.

    Points of more new series than there is room for are counted as refused.
    """
    if not points:
        return 0
    connection = db.session().connection()
    lock_writers(connection)
    keys = {id(point): point.series() for point in points}
    ids = in_list(connection, sorted(set(keys.values())))
    rows = connection.exec_driver_sql(in_list_sql(connection, _SERIES, ("id", "state"), "id"), (ids,))
    known = {row[0]: msgspec.json.decode(row[1], type=State) for row in rows}
    room = _room(connection) if set(keys.values()) - known.keys() else 0
    changed: dict[str, State] = {}
    deltas, recorded = Deltas(), 0
    for point in sorted(points, key=lambda point: point.at):
        key = keys[id(point)]
        if key not in known and room <= 0:
            refused.add(f"there are more than {MOST_SERIES} series of metrics; leave attributes out that differ each time")
            continue
        room -= key not in known
        step = advance(known.get(key), point)
        if step is None:
            continue
        known[key] = changed[key] = step[0]
        recorded += 1
        if step[1] is not None:
            metrics.add(deltas, point, step[1])
    at = now()
    _KEEP.insert(connection, [(key, msgspec.json.encode(state).decode(), at) for key, state in sorted(changed.items())])
    deltas.write(connection)
    return recorded


def _room(connection: Connection) -> int:
    return MOST_SERIES - (connection.scalar(select(func.count()).select_from(_SERIES)) or 0)


def forget() -> bool:
    """Delete some of the observations and series that nothing was said of for long; says whether there may be more."""
    with unit_of_work() as session:
        oldest = select(_SERIES.c.id).where(_SERIES.c.at < now() - KEPT).limit(FORGOTTEN_AT_ONCE)
        ids = list(session.scalars(oldest))
        session.execute(delete(_SERIES).where(_SERIES.c.id.in_(ids)))
        old = select(_TABLE.c.trace_id, _TABLE.c.id).where(_TABLE.c.at < now() - KEPT).limit(FORGOTTEN_AT_ONCE)
        rows = session.execute(old).all()
        for trace_id, observation in rows:
            session.execute(delete(_TABLE).where(_TABLE.c.trace_id == trace_id, _TABLE.c.id == observation))
    return FORGOTTEN_AT_ONCE in {len(rows), len(ids)}
