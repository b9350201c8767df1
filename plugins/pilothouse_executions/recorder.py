"""Recording executions and steps: reports are merged, children that come first get a placeholder, counters are kept.

Runs inside the ingest transaction, one writer at a time, so read, merge and write is exact. Everything is a few bulk
statements a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pilothouse.sdk import (
    FINAL,
    Batch,
    Bulk,
    Link,
    Recorded,
    in_list,
    in_list_sql,
    insert_ignore,
    json_text,
    new_id,
    parse_usd,
)
from pilothouse_executions import counting
from pilothouse_executions.events import Failed, Finished
from pilothouse_executions.merging import Row, first, merge
from pilothouse_executions.models import (
    Execution,
    ExecutionCommand,
    ExecutionError,
    ExecutionLabel,
    ExecutionUsage,
    Step,
    Workflow,
)
from sqlalchemy import Connection, Table, bindparam, case, func, select, update

FIELDS = (
    "workflow_id", "trigger", "agent", "user", "session", "environment", "release", "parent_id", "started_at",
    "finished_at", "attributes", "input", "output",
)  # fmt: skip
STEP_FIELDS = ("parent_id", "name", "kind", "started_at", "finished_at", "attributes", "input", "output")
LABELS = ("agent", "environment", "trigger")

EXECUTIONS: Table = Execution.__table__  # type: ignore[assignment]
STEPS: Table = Step.__table__  # type: ignore[assignment]
COLUMNS = tuple(column.name for column in EXECUTIONS.columns)
STEP_COLUMNS = tuple(column.name for column in STEPS.columns)
_MERGED = (*FIELDS, "status", "sorted_at", "heard_at", "reported", "levels", "token_id", "id")
_STEP_MERGED = (*STEP_FIELDS, "status", "levels")

_INSERT = Bulk(EXECUTIONS, COLUMNS)
_UPDATE = Bulk(EXECUTIONS, _MERGED)
_INSERT_STEPS = Bulk(STEPS, STEP_COLUMNS)
_INSERT_ERRORS = Bulk(ExecutionError.__table__, ("execution_id", "id", "error_type", "message", "at"), ignore_conflicts=True)  # type: ignore[arg-type]


def link_executions(batch: Batch) -> None:
    """Before anything is recorded: know the workflows of this batch, and its executions as parents of its children."""
    _intern_workflows(batch, {signal.workflow for signal in batch.signals})
    for signal in batch.signals:
        batch.links[signal.id] = Link(
            batch.workflows[signal.workflow], signal.workflow, signal.agent, signal.environment
        )


def link_children(batch: Batch) -> None:
    """Before anything is recorded: every execution that a step, error or usage names exists, if need be as a placeholder."""
    named = {s.workflow for s in batch.signals if getattr(s, "workflow", None)}
    _intern_workflows(batch, named)
    wanted = {s.execution_id: s for s in reversed(batch.signals) if s.execution_id and s.execution_id not in batch.links}
    if not wanted:
        return
    for row in _load(batch.connection, list(wanted)).values():
        batch.links[row["id"]] = Link(row["workflow_id"], _name_of(batch, row), row["agent"], row["environment"])
        if row["status"] == "lost":
            _revive(batch, row)
    missing = [signal for execution_id, signal in wanted.items() if execution_id not in batch.links]
    rows = [_placeholder(batch, signal) for signal in missing]
    _INSERT.insert(batch.connection, (tuple(row[name] for name in COLUMNS) for row in rows))
    for row in rows:
        counting.add(batch.measures, row, _name_of(batch, row))
        batch.links[row["id"]] = Link(row["workflow_id"], _name_of(batch, row), row["agent"], None)


def record_executions(batch: Batch) -> Recorded:
    """Merge the reports of executions; a report that changes nothing is a duplicate."""
    rows = _load(batch.connection, list({signal.id for signal in batch.signals}))
    before = {key: _counted(batch, row) for key, row in rows.items()}
    fresh: set[str] = set()
    changed: set[str] = set()
    duplicates = set()
    for place, signal in enumerate(batch.signals):
        report = _report(batch, signal)
        row = rows.get(signal.id)
        if row is None:
            rows[signal.id] = _new_row(batch, place, report)
            fresh.add(signal.id)
        elif _merge_execution(row, report, batch.sources[place].token_id):
            changed.add(signal.id)
        else:
            duplicates.add(place)
    for key in fresh | changed:
        rows[key]["heard_at"] = batch.received_at
    _INSERT.insert(batch.connection, (tuple(rows[key][name] for name in COLUMNS) for key in fresh))
    _UPDATE.update(batch.connection, (tuple(rows[key][name] for name in _MERGED) for key in changed - fresh))
    _keep_labels(batch, rows.values())
    _count_and_tell(batch, {key: rows[key] for key in fresh | changed}, before)
    _repeat_ignored_cancels(batch)
    return Recorded(duplicates=frozenset(duplicates))


def record_steps(batch: Batch) -> Recorded:
    """Merge the reports of steps."""
    known = _load_steps(batch.connection, {signal.execution_id for signal in batch.signals}, batch.signals)
    fresh: dict[tuple[str, str], Row] = {}
    changed: dict[tuple[str, str], Row] = {}
    duplicates = set()
    for place, signal in enumerate(batch.signals):
        key = (signal.execution_id, signal.id)
        report = _step_report(signal)
        row = fresh.get(key) or known.get(key)
        if row is None:
            levels = first(report, STEP_FIELDS)
            fresh[key] = {**report, "execution_id": key[0], "id": key[1], "created_at": batch.received_at, "levels": levels}
        elif merge(row, report, STEP_FIELDS):
            changed[key] = row
        else:
            duplicates.add(place)
    _INSERT_STEPS.insert(batch.connection, (tuple(row[name] for name in STEP_COLUMNS) for row in fresh.values()))
    _update_steps(batch.connection, [row for key, row in changed.items() if key not in fresh])
    _hear(batch.connection, {signal.execution_id for signal in batch.signals}, batch.received_at)
    return Recorded(duplicates=frozenset(duplicates))


def count_errors(batch: Batch) -> None:
    """Keep the short list of an execution's errors and their number; errors' own plugin keeps the whole."""
    rows = [(s.execution_id, s.id, s.error_type, s.message[:1000], s.at or batch.received_at) for s in batch.signals if s.execution_id]
    _INSERT_ERRORS.insert(batch.connection, rows)
    numbers: dict[str, int] = {}
    for row in rows:
        numbers[row[0]] = numbers.get(row[0], 0) + 1
    _add_to(batch.connection, [{"key": key, "errors": number, "tokens": 0, "cost": None, "at": batch.received_at}
                               for key, number in numbers.items()])  # fmt: skip


def count_usage(batch: Batch) -> None:
    """Add usage to the totals of its execution."""
    sums: dict[str, dict[str, int]] = {}
    for signal in batch.signals:
        if signal.execution_id is None:
            continue
        entry = sums.setdefault(signal.execution_id, dict.fromkeys(_USAGE, 0))
        entry["calls"] += 1
        for name in _TOKENS:
            entry[name] += getattr(signal, name) or 0
        if signal.cost_usd is None:
            entry["unpriced_records"] += 1
        else:
            entry["cost_nano"] += parse_usd(signal.cost_usd)
    if not sums:
        return
    table: Table = ExecutionUsage.__table__  # type: ignore[assignment]
    zero = dict.fromkeys(_USAGE, 0)
    insert_ignore(batch.connection, table, [{"execution_id": key, **zero} for key in sums])
    adding = update(table).where(table.c.execution_id == bindparam("key"))
    adding = adding.values({name: table.c[name] + bindparam(f"add_{name}") for name in _USAGE})
    batch.connection.execute(
        adding, [{"key": key, **{f"add_{name}": value for name, value in entry.items()}} for key, entry in sums.items()]
    )
    _add_to(batch.connection, [_totals(key, entry, batch.received_at) for key, entry in sums.items()])


_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_USAGE = ("calls", *_TOKENS, "cost_nano", "unpriced_records")


def _totals(key: str, entry: Mapping[str, int], at: int) -> dict[str, Any]:
    tokens = entry["prompt_tokens"] + entry["completion_tokens"]
    priced = entry["calls"] > entry["unpriced_records"]
    return {"key": key, "errors": 0, "tokens": tokens, "cost": entry["cost_nano"] if priced else None, "at": at}


def _intern_workflows(batch: Batch, names: Iterable[str]) -> None:
    """Give every workflow name its id; new names get a row."""
    wanted = sorted({name for name in names if name} - batch.workflows.keys())
    if not wanted:
        return
    table: Table = Workflow.__table__  # type: ignore[assignment]
    batch.workflows.update(_workflow_ids(batch.connection, table, wanted))
    missing = [name for name in wanted if name not in batch.workflows]
    if missing:
        rows = [{"id": new_id(), "name": name, "created_at": batch.received_at} for name in missing]
        insert_ignore(batch.connection, table, rows)
        batch.workflows.update(_workflow_ids(batch.connection, table, missing))


def _workflow_ids(connection: Connection, table: Table, names: Sequence[str]) -> dict[str, str]:
    rows = connection.exec_driver_sql(in_list_sql(connection, table, ("name", "id"), "name"), (in_list(connection, names),))
    return {row[0]: row[1] for row in rows}


def _load(connection: Connection, ids: Sequence[str]) -> dict[str, Row]:
    if not ids:
        return {}
    rows = connection.exec_driver_sql(in_list_sql(connection, EXECUTIONS, COLUMNS, "id"), (in_list(connection, ids),))
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


def _name_of(batch: Batch, row: Row) -> str | None:
    """Return the name of a row's workflow."""
    if row["workflow_id"] is None:
        return None
    for name, key in batch.workflows.items():
        if key == row["workflow_id"]:
            return name
    table: Table = Workflow.__table__  # type: ignore[assignment]
    name = batch.connection.scalar(select(table.c.name).where(table.c.id == row["workflow_id"]))
    batch.workflows[str(name)] = row["workflow_id"]
    return str(name)


def _report(batch: Batch, signal: Any) -> Row:
    return {
        "workflow_id": batch.workflows[signal.workflow],
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
        "levels": first(report, FIELDS),
        "token_id": batch.sources[place].token_id,
        "error_count": 0,
        "total_tokens": 0,
        "cost_nano": None,
    }


def _merge_execution(row: Row, report: Row, token_id: str | None) -> bool:
    changed = merge(row, report, FIELDS)
    row["sorted_at"] = row["created_at"] if row["started_at"] is None else row["started_at"]
    row["token_id"] = row["token_id"] or token_id
    if not row["reported"]:
        row["reported"], changed = True, True
    return changed


def _placeholder(batch: Batch, signal: Any) -> Row:
    """Return the row of an execution of which only a child was heard; the real report fills it in."""
    at = min(getattr(signal, "started_at", None) or getattr(signal, "at", None) or batch.received_at, batch.received_at)
    workflow = getattr(signal, "workflow", None)
    empty: Row = dict.fromkeys(COLUMNS)
    return empty | {
        "id": signal.execution_id,
        "workflow_id": batch.workflows[workflow] if workflow else None,
        "status": "running",
        "sorted_at": at,
        "created_at": at,
        "heard_at": batch.received_at,
        "reported": False,
        "levels": "0" * len(FIELDS),
        "error_count": 0,
        "total_tokens": 0,
    }


def _revive(batch: Batch, row: Row) -> None:
    """A lost execution was heard of again."""
    name = _name_of(batch, row)
    counting.take_back(batch.measures, row, name)
    row["status"] = "running"
    counting.add(batch.measures, row, name)
    batch.connection.execute(update(EXECUTIONS).where(EXECUTIONS.c.id == row["id"]).values(status="running"))


def _counted(batch: Batch, row: Row) -> tuple[Row, str | None]:
    """Return what the measures hold of a row, as it was before this batch."""
    return {name: row[name] for name in counting.NEEDED}, _name_of(batch, row)


def _count_and_tell(batch: Batch, touched: Mapping[str, Row], before: Mapping[str, tuple[Row, str | None]]) -> None:
    for key, row in touched.items():
        old, old_name = before.get(key, (None, None))
        name = _name_of(batch, row)
        if old is not None:
            counting.take_back(batch.measures, old, old_name)
        counting.add(batch.measures, row, name)
        was_final = old is not None and old["status"] in FINAL
        if row["status"] in FINAL and not was_final:
            batch.publish(Finished(execution_id=key, workflow=name or "", status=row["status"]))
            if row["status"] in {"failed", "timed_out"}:
                batch.publish(Failed(execution_id=key, workflow=name or "", status=row["status"]))


def _keep_labels(batch: Batch, rows: Iterable[Row]) -> None:
    """Remember every agent, environment and trigger once."""
    found = {(kind, row[kind]) for row in rows for kind in LABELS if row[kind]}
    table: Table = ExecutionLabel.__table__  # type: ignore[assignment]
    insert_ignore(batch.connection, table, [{"kind": kind, "name": name} for kind, name in sorted(found)])


def _repeat_ignored_cancels(batch: Batch) -> None:
    """A client that still reports `running` for a cancelled execution did not get, or did not heed, the command: again."""
    running = [signal.id for signal in batch.signals if signal.status == "running"]
    if not running:
        return
    table: Table = ExecutionCommand.__table__  # type: ignore[assignment]
    sql = in_list_sql(batch.connection, table, ("id",), "execution_id") + " AND command = 'cancel' AND delivered_at IS NOT NULL"
    ids = [row[0] for row in batch.connection.exec_driver_sql(sql, (in_list(batch.connection, running),))]
    if ids:
        batch.connection.execute(update(table).where(table.c.id.in_(ids)).values(delivered_at=None))


def _step_report(signal: Any) -> Row:
    status = signal.status or ("succeeded" if signal.finished_at is not None else "running")
    return {
        "parent_id": signal.parent_id,
        "name": signal.name,
        "kind": signal.kind,
        "status": status,
        "started_at": signal.started_at,
        "finished_at": signal.finished_at,
        "attributes": json_text(signal.attributes),
        "input": json_text(signal.input),
        "output": json_text(signal.output),
    }


def _load_steps(connection: Connection, executions: set[str], signals: Sequence[Any]) -> dict[tuple[str, str], Row]:
    sql = in_list_sql(connection, STEPS, STEP_COLUMNS, "execution_id")
    second = in_list_sql(connection, STEPS, ("id",), "id").partition(" WHERE ")[2]
    bound = (in_list(connection, sorted(executions)), in_list(connection, sorted({s.id for s in signals})))
    rows = connection.exec_driver_sql(f"{sql} AND {second}", bound)
    return {(row[0], row[1]): dict(zip(STEP_COLUMNS, row, strict=True)) for row in rows}


def _update_steps(connection: Connection, rows: list[Row]) -> None:
    if not rows:
        return
    statement = update(STEPS).where(STEPS.c.execution_id == bindparam("x"), STEPS.c.id == bindparam("s"))
    connection.execute(
        statement.values({name: bindparam(f"v_{name}") for name in _STEP_MERGED}),
        [{"x": r["execution_id"], "s": r["id"], **{f"v_{n}": r[n] for n in _STEP_MERGED}} for r in rows],
    )


def _hear(connection: Connection, executions: set[str], at: int) -> None:
    """Note that something was heard of the executions, which keeps them from being marked lost."""
    statement = update(EXECUTIONS).where(EXECUTIONS.c.id == bindparam("key")).values(heard_at=bindparam("at"))
    connection.execute(statement, [{"key": key, "at": at} for key in sorted(executions)])


def _add_to(connection: Connection, sums: list[dict[str, Any]]) -> None:
    if not sums:
        return
    table = EXECUTIONS
    cost = case(
        (bindparam("cost").is_(None), table.c.cost_nano),
        else_=func.coalesce(table.c.cost_nano, 0) + bindparam("cost"),
    )
    statement = update(table).where(table.c.id == bindparam("key"))
    statement = statement.values(
        error_count=table.c.error_count + bindparam("errors"),
        total_tokens=table.c.total_tokens + bindparam("tokens"),
        cost_nano=cost,
        heard_at=bindparam("at"),
    )
    connection.execute(statement, sums)
