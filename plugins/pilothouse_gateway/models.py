"""The table of prompts and answers, which is filled only where the operator wants them kept."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model


class GatewayContent(Model):
    """What one call sent and got, as JSON text, until `expires_at`; `id` is the id of the call's step."""

    __tablename__ = "gateway_contents"
    __table_args__ = (
        Index("ix_gateway_contents_execution", "execution_id", "at"),
        Index("ix_gateway_contents_expires", "expires_at"),
        {"sqlite_with_rowid": False},
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    execution_id: Mapped[str] = mapped_column(Id)
    at: Mapped[int] = mapped_column(Millis)
    expires_at: Mapped[int] = mapped_column(Millis)
    input: Mapped[str | None] = mapped_column(Json)
    output: Mapped[str | None] = mapped_column(Json)


MODELS = (GatewayContent,)
