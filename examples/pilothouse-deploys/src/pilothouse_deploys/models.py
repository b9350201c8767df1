"""The table of deployments."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Millis, Model, Name


class DeployRow(Model):
    """One deployment; `at` is in Unix milliseconds."""

    __tablename__ = "deploys"
    __table_args__ = (Index("ix_deploys_at", "at", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    service: Mapped[str] = mapped_column(Name)
    version: Mapped[str] = mapped_column(Name)
    environment: Mapped[str | None] = mapped_column(Name)
    by: Mapped[str | None] = mapped_column(Name)
    at: Mapped[int] = mapped_column(Millis)
