"""Tables of background work: jobs, and one row for each attempt at one.

The row is the truth and the message on the broker only a wake-up: whatever happens to the broker, a job is found again.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.db import Id, Json, Millis, Model, Name

WAITING = "waiting"  # not handed over yet, or to be run again at `due_at`
SENT = "sent"  # the sweep handed it to the broker at `sent_at`
RUNNING = "running"  # a worker holds it until `lease_until`
DONE = "done"
DEAD = "dead"  # gave up, with the reason in `error`: a dead letter
STATES = (WAITING, SENT, RUNNING, DONE, DEAD)
UNFINISHED = (WAITING, SENT, RUNNING)
TICK_KEY = "beat:"  # how the keys of scheduled jobs start

_OPEN = text("state IN ('waiting', 'sent', 'running')")
_KEYED = text("key IS NOT NULL")
_OPEN_KEY = text("key IS NOT NULL AND state IN ('waiting', 'sent', 'running')")
_FINISHED = text("state IN ('done', 'dead')")


class Job(Model):
    """One piece of work. `payload` is a JSON object of ids and plain values; `key` is unique among unfinished jobs.

    `starts` counts starts without an end since the job was made or last replayed; times are Unix milliseconds.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("uq_jobs_open_key", "key", unique=True, sqlite_where=_OPEN_KEY, postgresql_where=_OPEN_KEY),
        Index("ix_jobs_key", "key", "created_at", sqlite_where=_KEYED, postgresql_where=_KEYED),
        Index("ix_jobs_open", "state", "due_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_jobs_finished", "state", "finished_at", "id", sqlite_where=_FINISHED, postgresql_where=_FINISHED),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    task: Mapped[str] = mapped_column(Name)
    payload: Mapped[str] = mapped_column(Json)
    key: Mapped[str | None] = mapped_column(Name)
    event_id: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[int] = mapped_column(Millis)
    due_at: Mapped[int] = mapped_column(Millis)
    state: Mapped[str] = mapped_column(Name)
    starts: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[int | None] = mapped_column(Millis)
    started_at: Mapped[int | None] = mapped_column(Millis)
    lease_until: Mapped[int | None] = mapped_column(Millis)
    worker: Mapped[str | None] = mapped_column(Name)
    finished_at: Mapped[int | None] = mapped_column(Millis)
    error: Mapped[str | None] = mapped_column(Text)


class JobAttempt(Model):
    """One start of a job, committed before the task runs.

    `outcome` is None while it runs, then `done`, `failed`, `postponed` (an outage, not the task's fault) or `lost` (its
    worker died or stalled).
    """

    __tablename__ = "job_attempts"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    started_at: Mapped[int] = mapped_column(Millis)
    finished_at: Mapped[int | None] = mapped_column(Millis)
    outcome: Mapped[str | None] = mapped_column(Name)
    error: Mapped[str | None] = mapped_column(Text)
    worker: Mapped[str] = mapped_column(Name)


MODELS = (Job, JobAttempt)
