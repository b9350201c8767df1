"""Recording executions and steps: what is new is inserted as it came, what is known is merged.

Runs inside the ingest transaction, one writer at a time, so read, merge and write is exact. Everything is a few bulk
statements a batch, and a signal of something new costs one tuple: that is the common case and the hot path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, update

from pilothouse.sdk import FINAL, Batch, Bulk, Recorded, in_list, in_list_sql, insert_ignore, json_text, run_many
from pilothouse_executions import counting
from pilothouse_executions.events import Failed, Finished
from pilothouse_executions.links import COLUMNS, EXECUTIONS, INSERT, load, name_of, note_links
from pilothouse_executions.merging import FIELDS, STEP_FIELDS, Row, implied_ranks, merge
from pilothouse_executions.models import ExecutionCommand, ExecutionLabel, Step

LABELS = ("agent", "environment", "trigger")
BAD = frozenset({"failed", "timed_out"})
OTHER = "other"  # the kind of a step that names none
WHY_CHARS = 300  # of an error that people are told with the failure; the whole is with the error

STEPS: Table = Step.__table__
_COMMANDS: Table = ExecutionCommand.__table__
_LABELS: Table = ExecutionLabel.__table__
STEP_COLUMNS = (
    "execution_id", "id", "parent_id", "name", "kind", "status", "started_at", "finished_at", "created_at", "levels",
    "attributes", "input", "output",
)  # fmt: skip
_MERGED = (*FIELDS, "status", "sorted_at", "created_at", "heard_at", "reported", "levels", "token_id", "id")
_STEP_MERGED = (*STEP_FIELDS, "status", "levels")
_UPDATE = Bulk(EXECUTIONS, _MERGED)
_INSERT_STEPS = Bulk(STEPS, STEP_COLUMNS)


def record_executions(batch: Batch) -> Recorded:
    """Merge the reports of executions; a report that changes nothing is a duplicate."""
    rows = load(batch.connection, list({signal.id for signal in batch.signals}))
    before = {key: ({name: row[name] for name in counting.NEEDED}, name_of(batch, row)) for key, row in rows.items()}
    fresh: set[str] = set()
    changed: set[str] = set()
    again: set[str] = set()
    duplicates = set()
    for place, signal in enumerate(batch.signals):
        report = _report(batch, signal)
        row = rows.get(signal.id)
        if row is None:
            rows[signal.id] = _new_row(batch, place, report)
            fresh.add(signal.id)
            continue
        again.add(signal.id)
        held = (row["levels"], row["token_id"])
        merged = _merge_execution(batch, place, row, report)
        if not merged:
            duplicates.add(place)
        if merged or (row["levels"], row["token_id"]) != held:  # a rank may rise where no value changes
            row["heard_at"] = batch.received_at
            changed.add(signal.id)
    INSERT.insert(batch.connection, [tuple(rows[key][name] for name in COLUMNS) for key in sorted(fresh)])
    _UPDATE.update(batch.connection, [tuple(rows[key][name] for name in _MERGED) for key in sorted(changed - fresh)])
    touched = {key: rows[key] for key in fresh | changed}
    _keep_labels(batch, touched)
    _count_and_tell(batch, touched, before)
    note_links(batch, [rows[key] for key in again])
    _hear(batch.connection, {batch.signals[place].id for place in duplicates}, batch.received_at)
    _settle_cancels(batch)
    return Recorded(duplicates=frozenset(duplicates))


def record_steps(batch: Batch) -> Recorded:
    """Merge the reports of steps."""
    known = _load_steps(batch.connection, batch.signals)
    fresh: dict[tuple[str, str], tuple[Any, ...]] = {}
    changed: dict[tuple[str, str], Row] = {}
    duplicates = set()
    for place, signal in enumerate(batch.signals):
        key = (signal.execution_id, signal.id)
        row = known.get(key)
        if row is None and key not in fresh:
            fresh[key] = _step_values(signal, batch.received_at)
            continue
        if row is None:  # twice in one batch
            row = known[key] = dict(zip(STEP_COLUMNS, fresh[key], strict=True))
        held = row["levels"]
        merged = _merge_step(row, signal, batch.received_at)
        if not merged:
            duplicates.add(place)
        if merged or row["levels"] != held:
            changed[key] = row
    for key in fresh.keys() & changed.keys():
        row = changed.pop(key)
        fresh[key] = tuple(row[name] for name in STEP_COLUMNS)
    _INSERT_STEPS.insert(batch.connection, fresh.values())
    _update_steps(batch.connection, list(changed.values()))
    _hear(batch.connection, {signal.execution_id for signal in batch.signals}, batch.received_at)
    return Recorded(duplicates=frozenset(duplicates))


def _report(batch: Batch, signal: Any) -> Row:
    return {
        "workflow_id": batch.workflows.get(signal.workflow),
        "status": signal.status,
        "trigger": signal.trigger,
        "agent": signal.agent,
        "user": signal.user,
        "session": signal.session,
        "environment": signal.environment,
        "release": signal.release,
        "parent_id": signal.parent_id,
        "started_at": signal.started_at,
        "finished_at": signal.finished_at,
        "attributes": json_text(signal.attributes),
        "input": json_text(signal.input),
        "output": json_text(signal.output),
    }


def _new_row(batch: Batch, place: int, report: Row) -> Row:
    return {
        **report,
        "id": batch.signals[place].id,
        "sorted_at": batch.received_at if report["started_at"] is None else report["started_at"],
        "created_at": batch.received_at,
        "heard_at": batch.received_at,
        "reported": True,
        "levels": None,
        "token_id": batch.sources[place].token_id,
        "error_count": 0,
        "total_tokens": 0,
        "cost_nano": None,
    }


def _merge_execution(batch: Batch, place: int, row: Row, report: Row) -> bool:
    source = batch.sources[place]
    changed = merge(row, report, FIELDS, edited_at=batch.received_at if source.edit else None)
    if not row["reported"]:  # until now only its children were heard of
        row["reported"], row["created_at"], changed = True, batch.received_at, True
    row["sorted_at"] = row["created_at"] if row["started_at"] is None else row["started_at"]
    row["token_id"] = row["token_id"] or source.token_id
    return changed


def _merge_step(row: Row, signal: Any, received_at: int) -> bool:
    """Merge the report of a step; a kind that was left out is not told from `other`, so that one yields to any."""
    report = dict(zip(STEP_COLUMNS, _step_values(signal, received_at), strict=True))
    for values in (row, report):
        values["kind"] = None if values["kind"] == OTHER else values["kind"]
    changed = merge(row, report, STEP_FIELDS, implied=signal.status is None)
    row["kind"] = row["kind"] or OTHER
    return changed


def _count_and_tell(batch: Batch, touched: Mapping[str, Row], before: Mapping[str, tuple[Row, str | None]]) -> None:
    why = {one.id: f"{one.error.error_type}: {one.error.message}"[:WHY_CHARS] for one in batch.signals if one.error is not None}
    for key, row in touched.items():
        old, old_name = before.get(key, (None, None))
        name = name_of(batch, row)
        if old is not None:
            counting.take_back(batch.measures, old, old_name)
        counting.add(batch.measures, row, name)
        before_status = None if old is None else old["status"]
        if row["status"] in FINAL and before_status not in FINAL:
            batch.publish(Finished(execution_id=key, workflow=name or "", status=row["status"]))
        if row["status"] in BAD and before_status not in BAD:
            batch.publish(Failed(execution_id=key, workflow=name or "", status=row["status"], error=why.get(key, "")))


def _keep_labels(batch: Batch, rows: Mapping[str, Row]) -> None:
    """Remember every agent, environment and trigger once."""
    found = {(kind, row[kind]) for row in rows.values() for kind in LABELS if row[kind]}
    insert_ignore(batch.connection, _LABELS, [{"kind": kind, "name": name} for kind, name in sorted(found)])


def _settle_cancels(batch: Batch) -> None:
    """Stop repeating a cancel once the execution's own client says that it ended."""
    ended = [signal.id for signal in batch.signals if signal.status in FINAL]
    if not ended:
        return
    sql = in_list_sql(batch.connection, _COMMANDS, ("id",), "execution_id")
    sql += " AND command = 'cancel' AND delivered_at IS NULL"
    ids = [row[0] for row in batch.connection.exec_driver_sql(sql, (in_list(batch.connection, ended),))]
    if ids:
        batch.connection.execute(update(_COMMANDS).where(_COMMANDS.c.id.in_(ids)).values(delivered_at=batch.received_at))


def _step_values(signal: Any, received_at: int) -> tuple[Any, ...]:
    """Return a step's row in the order of STEP_COLUMNS. Without a status, an end says that it succeeded."""
    status = signal.status or ("succeeded" if signal.finished_at is not None else "running")
    values = (
        signal.execution_id, signal.id, signal.parent_id, signal.name, signal.kind or OTHER, status, signal.started_at,
        signal.finished_at, received_at, None, json_text(signal.attributes), json_text(signal.input),
        json_text(signal.output),
    )  # fmt: skip
    return values if signal.status is not None else _with_implied_ranks(values)


def _with_implied_ranks(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Note that a step's success was not stated: whatever is stated later counts more."""
    row = dict(zip(STEP_COLUMNS, values, strict=True))
    row["kind"] = None if row["kind"] == OTHER else row["kind"]
    levels = implied_ranks(row, STEP_FIELDS)
    return tuple(levels if name == "levels" else value for name, value in zip(STEP_COLUMNS, values, strict=True))


def _load_steps(connection: Connection, signals: Sequence[Any]) -> dict[tuple[str, str], Row]:
    """Return the known ones of the reported steps: looked up by execution, which is the key's first part."""
    executions = in_list(connection, sorted({signal.execution_id for signal in signals}))
    ids = in_list(connection, sorted({signal.id for signal in signals}))
    sql = in_list_sql(connection, STEPS, STEP_COLUMNS, "execution_id")
    sql += " AND " + in_list_sql(connection, STEPS, ("id",), "id").partition(" WHERE ")[2]
    rows = connection.exec_driver_sql(sql, (executions, ids))
    return {(row[0], row[1]): dict(zip(STEP_COLUMNS, row, strict=True)) for row in rows}


def _update_steps(connection: Connection, rows: list[Row]) -> None:
    keys = (*_STEP_MERGED, "execution_id", "id")
    sets = ", ".join(f'"{name}" = ?' for name in _STEP_MERGED)
    statement = f"UPDATE steps SET {sets} WHERE execution_id = ? AND id = ?"  # noqa: S608 - our own names only
    run_many(connection, statement, [tuple(row[name] for name in keys) for row in rows])


def _hear(connection: Connection, executions: set[str], at: int) -> None:
    """Note that something was heard of the executions, which keeps them from being marked lost."""
    statement = "UPDATE executions SET heard_at = ? WHERE id = ? AND heard_at < ?"
    run_many(connection, statement, [(at, key, at) for key in sorted(executions)])
