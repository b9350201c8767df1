"""What a translation has to remember: observations of Langfuse's JSON batches, whose updates name only what changed."""

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


MODELS = (Observation,)
