"""What check-ins have to be held against: the jobs that are expected, and their runs that have not ended."""

from __future__ import annotations

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model, Name


class Monitor(Model):
    """A scheduled job in one environment ("" where none is named).

    Without a `schedule` it is listed and not waited for. `due_at` is when it should start next, `late_at` when it is missed;
    both null while it is not expected. `misses` counts those in a row. `last_status` is its last run's, or "missed", known
    since `last_at`; that run's execution is `last_run_id`.
    """

    __tablename__ = "sentry_monitors"
    __table_args__ = (Index("ix_sentry_monitors_late", "late_at"),)

    slug: Mapped[str] = mapped_column(Name, primary_key=True)
    environment: Mapped[str] = mapped_column(Name, primary_key=True)
    schedule: Mapped[str | None] = mapped_column(Json)
    due_at: Mapped[int | None] = mapped_column(Millis)
    late_at: Mapped[int | None] = mapped_column(Millis)
    misses: Mapped[int]
    heard_at: Mapped[int] = mapped_column(Millis)
    last_status: Mapped[str] = mapped_column(String(16))
    last_at: Mapped[int] = mapped_column(Millis)
    last_run_id: Mapped[str] = mapped_column(Id)


class OpenRun(Model):
    """A run that said that it started and has not said how it ended; at `ends_at` it is timed out."""

    __tablename__ = "sentry_open_runs"
    __table_args__ = (Index("ix_sentry_open_runs_ends", "ends_at"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    slug: Mapped[str] = mapped_column(Name)
    environment: Mapped[str] = mapped_column(Name)
    ends_at: Mapped[int] = mapped_column(Millis)


MODELS = (Monitor, OpenRun)
