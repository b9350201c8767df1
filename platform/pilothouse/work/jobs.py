"""Making jobs: a row in the caller's transaction, and a wake-up of the workers once it has committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, select

from pilothouse import clock
from pilothouse.db import Bulk, after_commit, db, insert_ignore, unit_of_work
from pilothouse.runtime import runtime
from pilothouse.work.models import SENT, UNFINISHED, WAITING, Job

PAYLOAD_LIMIT = 64 * 1024  # bytes; a payload holds ids and plain values, what is larger belongs into a table
COLUMNS = ("id", "task", "payload", "key", "event_id", "created_at", "due_at", "state", "starts")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be made: see `enqueue`; `due_at` in Unix ms is now if left out, `event_id` what it reacts to."""

    task: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    due_at: int | None = None
    key: str | None = None
    event_id: str | None = None


def enqueue(
    task: str,
    payload: Mapping[str, Any],
    *,
    due_at: int | None = None,
    key: str | None = None,
    event_id: str | None = None,
) -> str:
    """Make a job in the open unit of work (or in one of its own) and return its id.

    It exists exactly if the transaction commits; workers are woken after that, and no caller ever waits for the broker.
    While a job with the same `key` is unfinished, that one's id is returned and nothing is made. `due_at` is in Unix
    milliseconds. Raises ValueError where the payload is no JSON object of at most 64 KiB.
    """
    return enqueue_many([NewJob(task, payload, due_at, key, event_id)])[0]


def enqueue_many(jobs: Iterable[NewJob]) -> list[str]:
    """Make many jobs with few statements; return their ids in order, as `enqueue` does for one."""
    now = clock.now()
    rows = [_row(job, now) for job in jobs]
    with unit_of_work() as session:
        connection = session.connection()
        plain = [row for row in rows if row["key"] is None]
        Bulk(_table(), COLUMNS).insert(connection, [tuple(row[name] for name in COLUMNS) for row in plain])
        for row in rows:
            if row["key"] is not None:
                _insert_once(connection, row)
        _wake_after_commit([(row["id"], row["task"]) for row in rows if row["due_at"] <= now and not row["known"]])
    return [row["id"] for row in rows]


def _table() -> Table:
    return Job.__table__


def _row(job: NewJob, now: int) -> dict[str, Any]:
    payload = msgspec.json.encode(dict(job.payload))
    if len(payload) > PAYLOAD_LIMIT:
        raise ValueError(f"the payload of {job.task} is over {PAYLOAD_LIMIT} bytes: put it into a table")
    return {
        "id": clock.new_id(),
        "task": job.task,
        "payload": payload.decode(),
        "key": job.key,
        "event_id": job.event_id,
        "created_at": now,
        "due_at": now if job.due_at is None else job.due_at,
        "state": WAITING,
        "starts": 0,
        "known": False,
    }


def _insert_once(connection: Connection, row: dict[str, Any]) -> None:
    """Insert the row, or put the id of the unfinished job that has its key into it."""
    same = select(Job.id).where(Job.key == row["key"], Job.state.in_(UNFINISHED))
    values = {name: row[name] for name in COLUMNS}
    found = None
    while found is None:  # on PostgreSQL the other job may end between the two statements; then ours goes in
        insert_ignore(connection, _table(), [values])
        found = connection.execute(same).scalar()
    row["known"] = found != row["id"]
    row["id"] = found


def _wake_after_commit(jobs: list[tuple[str, str]]) -> None:
    dispatcher = runtime().dispatcher
    if jobs and dispatcher is not None:
        after_commit(lambda: dispatcher.wake(jobs))


def waiting_longer_than(age_ms: int) -> int:
    """Return how many jobs have been due for longer than that and have not started."""
    late = select(func.count()).select_from(Job).where(Job.state.in_((WAITING, SENT)), Job.due_at < clock.now() - age_ms)
    return int(db.session.execute(late).scalar_one())
