"""Remembering observations between the requests that tell of them. Opens its own units of work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Table, delete, select

from pilothouse.sdk import DAY, Bulk, in_list, in_list_sql, lock_writers, now, unit_of_work
from pilothouse_otel.models import Observation

KEPT = 2 * DAY  # longer than any observation stays open
FORGOTTEN_AT_ONCE = 2_000  # rows a transaction deletes: it holds the writers' lock for some 20 ms

Key = tuple[str, str]  # a trace and an observation of it
Body = dict[str, Any]

_TABLE: Table = Observation.__table__  # type: ignore[assignment]
_INSERT = Bulk(_TABLE, ("trace_id", "id", "body", "at"), ignore_conflicts=True)


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
        _INSERT.insert(
            connection, [(*key, msgspec.json.encode(body).decode(), at) for key, body in sorted(changed.items())]
        )
    return united


def forget() -> bool:
    """Delete some of the observations that nothing was said of for long; says whether there may be more."""
    with unit_of_work() as session:
        old = select(_TABLE.c.trace_id, _TABLE.c.id).where(_TABLE.c.at < now() - KEPT).limit(FORGOTTEN_AT_ONCE)
        rows = session.execute(old).all()
        for trace_id, observation in rows:
            session.execute(delete(_TABLE).where(_TABLE.c.trace_id == trace_id, _TABLE.c.id == observation))
    return len(rows) == FORGOTTEN_AT_ONCE
