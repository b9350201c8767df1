"""The table of who signs in as whom: a provider's subject, bound to a member at the first sign-in."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Millis, Model, Name


class OidcIdentity(Model):
    """A subject of an issuer: addresses change hands, subjects do not. Each member has at most one at an issuer."""

    __tablename__ = "oidc_identities"
    __table_args__ = (UniqueConstraint("user_id", "issuer"),)

    issuer: Mapped[str] = mapped_column(Name, primary_key=True)
    subject: Mapped[str] = mapped_column(Name, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[int] = mapped_column(Millis)
    last_used_at: Mapped[int] = mapped_column(Millis)


MODELS = (OidcIdentity,)
