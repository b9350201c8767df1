"""The table of provider keys: secrets are there only as ciphertexts that open in their own row."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model, Name


class ProviderKey(Model):
    """A key of a model provider. After a rotation the previous secret stays usable until `previous_until`.

    `version` counts the secrets; each ciphertext is bound to its row and version. `told_days` remembers which notice
    of expiry went out last.
    """

    __tablename__ = "provider_keys"
    __table_args__ = (
        Index("ix_provider_keys_created", "created_at", "id"),
        Index("ix_provider_keys_service", "service", "created_at"),
        Index("ix_provider_keys_expires", "expires_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str | None] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Name)
    service: Mapped[str] = mapped_column(Name)
    base_url: Mapped[str | None] = mapped_column(Json)
    sealed: Mapped[str] = mapped_column(Json)
    version: Mapped[int]
    previous: Mapped[str | None] = mapped_column(Json)
    previous_until: Mapped[int | None] = mapped_column(Millis)
    last4: Mapped[str] = mapped_column(Name)
    fingerprint: Mapped[str] = mapped_column(Name)
    usage_count: Mapped[int] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(Millis)
    expires_at: Mapped[int | None] = mapped_column(Millis)
    told_days: Mapped[int | None]
    revoked_at: Mapped[int | None] = mapped_column(Millis)
    rotated_at: Mapped[int | None] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)

    def status(self, now: int) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


MODELS = (ProviderKey,)
