"""Recording errors: the first report of an id counts, each error joins its group, counts are exact in any order.

Runs inside the ingest transaction, one writer at a time, so read, decide and write is exact. Everything is a few bulk
statements a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.sdk import Batch, Bulk, Event, Recorded, in_list, in_list_sql, insert_ignore, json_text, known_ids, new_id
from pilothouse_errors import counting
from pilothouse_errors.activity import REGRESSED, entry
from pilothouse_errors.events import GroupOpened, Regressed
from pilothouse_errors.grouping import group
from pilothouse_errors.holding import comes_back, keep_releases
from pilothouse_errors.models import (
    ErrorGroup,
    ErrorGroupActivity,
    ErrorGroupHour,
    ErrorGroupRelease,
    ErrorGroupUser,
    ErrorRecord,
    ErrorSlab,
    ErrorWorkflow,
)
from pilothouse_errors.severity import classify
from pilothouse_errors.signatures import first_of
from pilothouse_errors.tallying import OPEN, RESOLVED, Row, add, hour_of, new_group

ERRORS: Table = ErrorRecord.__table__
GROUPS: Table = ErrorGroup.__table__
USERS: Table = ErrorGroupUser.__table__
WORKFLOWS: Table = ErrorWorkflow.__table__
HOURS: Table = ErrorGroupHour.__table__
RELEASES: Table = ErrorGroupRelease.__table__
ACTIVITY: Table = ErrorGroupActivity.__table__
COLUMNS = tuple(column.name for column in ERRORS.columns)
GROUP_COLUMNS = tuple(column.name for column in GROUPS.columns)
# what recording may change in a group that is there already; the rest belongs to people
_TALLIED = (
    "title", "error_type", "message", "workflow", "environment", "status", "severity", "count", "users", "executions",
    "first_seen_at", "last_seen_at", "last_error_id", "first_release", "first_release_at", "last_release",
    "last_release_at", "regressed", "resolved_at", "resolved_by", "resolution_notes", "until", "until_at", "until_release",
    "updated_at", "id",
)  # fmt: skip

_VALUES = itemgetter(*COLUMNS)
_INSERT = Bulk(ERRORS, COLUMNS)
_INSERT_GROUPS = Bulk(GROUPS, GROUP_COLUMNS)
_UPDATE_GROUPS = Bulk(GROUPS, _TALLIED)
_INSERT_USERS = Bulk(USERS, ("group_id", "user"))
_ADOPT = Bulk(ERRORS, ("workflow_id", "seq"))


@dataclass(frozen=True, slots=True)
class _Joined:
    """The groups that a batch touches by id, which of them are new, and the people whom each met for the first time."""

    groups: dict[str, Row]
    new: set[str]
    people: list[tuple[str, str]]


def record_errors(batch: Batch) -> Recorded:
    """Store the errors that are new, with all that follows from them."""
    fresh, duplicates = _fresh(batch)
    if fresh:
        workflows = [_workflow_of(batch, signal) for signal in fresh]
        _keep_workflows(batch.connection, workflows)
        errors = [_row(batch, signal, workflow_id) for signal, (workflow_id, _) in zip(fresh, workflows, strict=True)]
        names = [name for _, name in workflows]
        joined = _join(batch, fresh, errors, names)
        events = _settle(batch, joined, errors)
        _write(batch, joined, errors)
        for error, name in zip(errors, names, strict=True):
            counting.add(batch.measures, error, name)
        for event in events:
            batch.publish(event)
    return Recorded(duplicates=frozenset(duplicates))


def adopt(batch: Batch) -> None:
    """Give errors that name no workflow the one that their execution now names: it may be reported after them."""
    wanted = sorted({signal.id for signal in batch.signals})
    names = ("seq", "id", "group_id", "execution_id", "workflow_id", *counting.NEEDED)
    sql = in_list_sql(batch.connection, ERRORS, names, "execution_id") + " AND NOT workflow_given"
    found = batch.connection.exec_driver_sql(sql, (in_list(batch.connection, wanted),))
    rows = [dict(zip(names, row, strict=True)) for row in found]
    moves = [(row, batch.links[row["execution_id"]]) for row in rows]
    moves = [(row, link) for row, link in moves if row["workflow_id"] != link.workflow_id]
    if not moves:
        return
    before = _workflow_names(batch.connection, sorted({row["workflow_id"] for row, _ in moves if row["workflow_id"]}))
    _keep_workflows(batch.connection, [(link.workflow_id, link.workflow) for _, link in moves])
    _ADOPT.update(batch.connection, [(link.workflow_id, row["seq"]) for row, link in moves])
    newest = update(GROUPS).where(GROUPS.c.id == bindparam("group"), GROUPS.c.last_error_id == bindparam("error"))
    batch.connection.execute(
        newest.values(workflow=bindparam("name")),
        [{"group": row["group_id"], "error": row["id"], "name": link.workflow} for row, link in moves],
    )
    for row, link in moves:
        counting.add(batch.measures, row, before.get(row["workflow_id"]), count=-1)
        counting.add(batch.measures, row, link.workflow)


def _workflow_names(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    found = connection.exec_driver_sql(in_list_sql(connection, WORKFLOWS, ("id", "name"), "id"), (in_list(connection, ids),))
    return {row[0]: row[1] for row in found}


def _fresh(batch: Batch) -> tuple[list[Any], set[int]]:
    """Return the signals with ids never seen before, and the places of the others."""
    seen = known_ids(batch.connection, ERRORS, [signal.id for signal in batch.signals])
    fresh, duplicates = [], set()
    for place, signal in enumerate(batch.signals):
        if signal.id in seen:
            duplicates.add(place)
        else:
            seen.add(signal.id)
            fresh.append(signal)
    return fresh, duplicates


def _workflow_of(batch: Batch, signal: Any) -> tuple[str | None, str | None]:
    """Return id and name of the workflow that a signal names, else of its execution's."""
    if signal.workflow and signal.workflow in batch.workflows:
        return batch.workflows[signal.workflow], signal.workflow
    link = batch.links.get(signal.execution_id) if signal.execution_id else None
    return (link.workflow_id, link.workflow) if link is not None else (None, None)


def _keep_workflows(connection: Connection, workflows: Iterable[tuple[str | None, str | None]]) -> None:
    """Remember the names of workflows, each once."""
    named = sorted({(key, name) for key, name in workflows if key is not None and name is not None})
    rows = [{"id": key, "name": name} for key, name in named]
    known = known_ids(connection, WORKFLOWS, [row["id"] for row in rows])
    insert_ignore(connection, WORKFLOWS, [row for row in rows if row["id"] not in known])


def _row(batch: Batch, signal: Any, workflow_id: str | None) -> Row:
    severity = signal.severity or classify(signal.error_type, signal.message, signal.handled).severity
    linked = signal.execution_id is not None and signal.execution_id in batch.links
    return {
        "seq": 0,
        "id": signal.id,
        "group_id": "",
        "execution_id": signal.execution_id if linked else None,
        "workflow_id": workflow_id,
        "workflow_given": bool(signal.workflow),
        "created_at": batch.received_at if signal.at is None else signal.at,
        "severity": severity,
        "severity_given": signal.severity is not None,
        "handled": signal.handled,
        "resolved": False,
        "resolved_at": None,
        "release": signal.release,
        "environment": signal.environment,
        "user": signal.user,
        "error_type": signal.error_type,
        "message": signal.message,
        "stack_trace": signal.stack_trace,
        "frames": msgspec.json.encode(signal.frames).decode() if signal.frames else None,
        "attributes": json_text(signal.attributes),
        "resolution_notes": None,
    }


def _join(batch: Batch, signals: Sequence[Any], errors: Sequence[Row], workflows: Sequence[str | None]) -> _Joined:
    """Add each error to its group; counts each person and each execution once a group."""
    groupings = [group(signal) for signal in signals]
    by_fingerprint = _load_groups(batch.connection, sorted({grouping.fingerprint for grouping in groupings}))
    new: set[str] = set()
    for error, grouping, workflow in zip(errors, groupings, workflows, strict=True):
        row = by_fingerprint.get(grouping.fingerprint)
        if row is None:
            row = new_group(new_id(), grouping.fingerprint, grouping.reason, batch.received_at)
            by_fingerprint[grouping.fingerprint] = row
            new.add(row["id"])
        error["group_id"] = row["id"]
        add(row, error, workflow)
        row["updated_at"] = batch.received_at
    groups = {row["id"]: row for row in by_fingerprint.values()}
    people = {(error["group_id"], error["user"]) for error in errors if error["user"] is not None}
    people -= _known_pairs(batch.connection, USERS, people, ("group_id", "user"))
    runs = {(error["execution_id"], error["group_id"]) for error in errors if error["execution_id"] is not None}
    runs -= _known_pairs(batch.connection, ERRORS, runs, ("execution_id", "group_id"))
    for group_id, _ in people:
        groups[group_id]["users"] += 1
    for _, group_id in runs:
        groups[group_id]["executions"] += 1
    return _Joined(groups, new, sorted(people))


def _load_groups(connection: Connection, fingerprints: Sequence[str]) -> dict[str, Row]:
    sql = in_list_sql(connection, GROUPS, GROUP_COLUMNS, "fingerprint")
    found = connection.exec_driver_sql(sql, (in_list(connection, fingerprints),))
    rows = [dict(zip(GROUP_COLUMNS, row, strict=True)) for row in found]
    return {row["fingerprint"]: row for row in rows}


def _known_pairs(
    connection: Connection, table: Table, pairs: set[tuple[str, str]], names: tuple[str, str]
) -> set[tuple[str, str]]:
    """Return those of the pairs that the table holds; `names` are their columns, with which an index begins.

    The pairs are bound as lists and joined, so that each costs one look into the index, not each combination of them.
    """
    if not pairs:
        return set()
    ordered = sorted(pairs)
    if connection.dialect.name == "sqlite":
        parts = "json_extract(value, '$[0]') AS a, json_extract(value, '$[1]') AS b"
        source = f"(SELECT {parts} FROM json_each(?)) AS p CROSS"  # noqa: S608 - as below; CROSS: the list is the outer loop
        bound: tuple[Any, ...] = (msgspec.json.encode(ordered).decode(),)
    else:
        source = "unnest(%s::text[], %s::text[]) AS p(a, b)"
        bound = ([pair[0] for pair in ordered], [pair[1] for pair in ordered])
    condition = f't."{names[0]}" = p.a AND t."{names[1]}" = p.b'
    sql = f'SELECT p.a, p.b FROM {source} JOIN "{table.name}" AS t ON {condition}'  # noqa: S608 - only our own names
    return {(row[0], row[1]) for row in connection.exec_driver_sql(sql, bound)}


def _settle(batch: Batch, joined: _Joined, errors: Sequence[Row]) -> list[Event]:
    """Reopen resolved and ignored groups whose fault came back, and return what there is to tell.

    An error that happened before its group was resolved and only arrives now is resolved with it, as is one of a version
    that had no fix yet.
    """
    again: dict[str, Row] = {}
    seen = keep_releases(batch.connection, errors)
    touched = [error for error in errors if joined.groups[error["group_id"]]["status"] != OPEN]
    for error in sorted(touched, key=lambda error: (error["created_at"], error["id"])):
        row = joined.groups[error["group_id"]]
        if comes_back(row, error["created_at"], error["release"], seen):
            again.setdefault(row["id"], error)
        elif row["status"] == RESOLVED:
            error.update(resolved=True, resolved_at=row["resolved_at"], resolution_notes=row["resolution_notes"])
    for key, error in again.items():
        row = joined.groups[key]
        row.update(status=OPEN, regressed=True, resolved_at=None, resolved_by=None, resolution_notes=None)
        row.update(until=None, until_at=None, until_release=None)
        batch.connection.execute(insert(ACTIVITY), entry(key, batch.received_at, REGRESSED, None, {"error_id": error["id"]}))
    opened = [_event(GroupOpened, joined.groups[key], joined.groups[key]["last_error_id"]) for key in sorted(joined.new)]
    return [*opened, *(_event(Regressed, joined.groups[key], error["id"]) for key, error in again.items())]


def _event(kind: type[GroupOpened | Regressed], row: Row, error_id: str) -> Event:
    return kind(
        group_id=row["id"], error_id=error_id, title=row["title"], error_type=row["error_type"], severity=row["severity"],
        workflow=row["workflow"] or "",
    )  # fmt: skip


def _write(batch: Batch, joined: _Joined, errors: Sequence[Row]) -> None:
    """Write parents before children: foreign keys are checked at once."""
    connection = batch.connection
    fresh = [row for key, row in joined.groups.items() if key in joined.new]
    _INSERT_GROUPS.insert(connection, (tuple(row[name] for name in GROUP_COLUMNS) for row in fresh))
    known = (row for key, row in joined.groups.items() if key not in joined.new)
    _UPDATE_GROUPS.update(connection, (tuple(row[name] for name in _TALLIED) for row in known))
    for seq, error in enumerate(errors, _next_number(connection)):
        error["seq"] = seq
    _INSERT.insert(connection, map(_VALUES, errors))
    _INSERT_USERS.insert(connection, joined.people)
    _add_counts(connection, HOURS, Counter((error["group_id"], hour_of(error["created_at"])) for error in errors))
    named = [(error["group_id"], error["release"]) for error in errors if error["release"] is not None]
    if named:
        _add_counts(connection, RELEASES, Counter(named))


def _next_number(connection: Connection) -> int:
    """Return the next number of arrival: beyond every slab, also where retention took the newest errors away."""
    newest = connection.scalar(select(func.max(ERRORS.c.seq))) or 0
    last = connection.scalar(select(func.max(ErrorSlab.slab)))
    return max(newest + 1, 1 if last is None else first_of(last + 1))


def _add_counts(connection: Connection, table: Table, counts: Mapping[tuple[str, Any], int]) -> None:
    """Add to what a table counts of each group; its key is the group and what is told apart, as those of `counts` are."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    adding = dialect.insert(table)
    group_id, other = keys = [column.name for column in table.primary_key]
    total = table.c["count"] + adding.excluded["count"]
    statement = adding.on_conflict_do_update(index_elements=keys, set_={"count": total})
    connection.execute(statement, [{group_id: key, other: value, "count": n} for (key, value), n in sorted(counts.items())])
