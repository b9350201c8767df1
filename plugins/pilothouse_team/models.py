"""The table of invitations."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Millis, Model, Name


class Invite(Model):
    """One invitation. The person it is for is a user of status `invited` until it is accepted.

    `token_hash` is null while the mail waits for the worker that makes the token. `invited_by` is a principal's id.
    """

    __tablename__ = "team_invites"
    __table_args__ = (Index(None, "created_at", "id"), Index(None, "invited_by"), Index(None, "user_id"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id)
    email: Mapped[str] = mapped_column(Name)
    role: Mapped[str] = mapped_column(Name)
    token_hash: Mapped[str | None] = mapped_column(Name, unique=True)
    invited_by: Mapped[str] = mapped_column(Id)
    inviter: Mapped[str] = mapped_column(Name)
    expires_at: Mapped[int] = mapped_column(Millis)
    accepted_at: Mapped[int | None] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)


MODELS: tuple[type[Model], ...] = (Invite,)
