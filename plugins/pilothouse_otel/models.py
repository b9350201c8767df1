"""What a translation has to remember between requests.

Observations of Langfuse's JSON batches, whose updates name only what changed, and the last points of metrics, since cumulative
ones tell all that there was since their series began.
"""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model


class Observation(Model):
    """What was said of an observation so far, without its content; forgotten after `memory.KEPT`."""

    __tablename__ = "otel_observations"
    __table_args__ = (Index("ix_otel_observations_at", "at"), {"sqlite_with_rowid": False})

    trace_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    body: Mapped[str] = mapped_column(Json)
    at: Mapped[int] = mapped_column(Millis)


class Series(Model):
    """What the last data point of a metric's series said; forgotten like observations."""

    __tablename__ = "otel_series"
    __table_args__ = (Index("ix_otel_series_at", "at"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    state: Mapped[str] = mapped_column(Json)
    at: Mapped[int] = mapped_column(Millis)


MODELS = (Observation, Series)
