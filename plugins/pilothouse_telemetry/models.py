"""Tables of events and of the people in them, with the index that serves each list, purge and cohort."""

from __future__ import annotations

from sqlalchemy import Double, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import DAY, Id, Json, Millis, Model, Name

LongId = String(300)  # a release has up to 255 characters
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05, the first Monday of Unix time


class TelemetryEvent(Model):
    """One thing that a person or component did; the first report of an id stays as it is."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_at", "at", "id"),
        Index("ix_events_component", "component", "at", "id"),
        Index("ix_events_failed", "at", "id", sqlite_where=text("ok = 0"), postgresql_where=text("ok = false")),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    component: Mapped[str | None] = mapped_column(Name)
    user: Mapped[str | None] = mapped_column(Name)
    session: Mapped[str | None] = mapped_column(Name)
    duration_ms: Mapped[float | None] = mapped_column(Double)
    ok: Mapped[bool | None]
    at: Mapped[int] = mapped_column(Millis)
    properties: Mapped[str | None] = mapped_column(Json)


class EventUser(Model):
    """A person, by the name that events give: when they were first and last heard of. Who is new follows from it."""

    __tablename__ = "event_users"
    __table_args__ = (Index("ix_event_users_first", "first_at"),)

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    first_at: Mapped[int] = mapped_column(Millis)
    last_at: Mapped[int] = mapped_column(Millis)


class EventUserWeek(Model):
    """A person was active in a week, which starts on Monday 00:00 UTC: what retention is counted from."""

    __tablename__ = "event_user_weeks"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - rows lie in the order of the key: a week's people together

    week: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Name, primary_key=True)


class ChartMark(Model):
    """A moment that charts mark: a release that was first heard of, or a fact of another plugin."""

    __tablename__ = "chart_marks"
    __table_args__ = (Index("ix_chart_marks_at", "at"),)

    id: Mapped[str] = mapped_column(LongId, primary_key=True)  # of the event, or `release:` and the release
    at: Mapped[int] = mapped_column(Millis)
    text: Mapped[str] = mapped_column(Json)


MODELS = (TelemetryEvent, EventUser, EventUserWeek, ChartMark)


def week_of(at: int) -> int:
    """Return the start (ms) of the week in which a moment lies: Monday 00:00 UTC."""
    return at - (at - MONDAY) % WEEK
