"""Tables of passkeys, authenticators' secrets (sealed), recovery codes (hashed) and ceremonies that were used up."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Millis, Model, Name


class Passkey(Model):
    """A public key that a person's device keeps the other half of. `credential_id` and `public_key` are base64url."""

    __tablename__ = "passkeys"
    __table_args__ = (Index("ix_passkeys_user", "user_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Name)
    credential_id: Mapped[str] = mapped_column(Text, unique=True)
    public_key: Mapped[str] = mapped_column(Text)
    sign_count: Mapped[int] = mapped_column(BigInteger)  # 32 bits without a sign
    created_at: Mapped[int] = mapped_column(Millis)
    last_used_at: Mapped[int | None] = mapped_column(Millis)


class Authenticator(Model):
    """The secret of a person's authenticator app. It counts once a code was given; no code up to `last_step` works again."""

    __tablename__ = "authenticators"

    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    confirmed_at: Mapped[int | None] = mapped_column(Millis)
    last_step: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[int] = mapped_column(Millis)


class RecoveryCode(Model):
    """One of the codes for the day on which the authenticator is lost; works once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("ix_recovery_codes_user", "user_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    code_hash: Mapped[str] = mapped_column(Name)
    used_at: Mapped[int | None] = mapped_column(Millis)


class SpentChallenge(Model):
    """A challenge that was answered: an answer that was overheard is worth nothing a second time."""

    __tablename__ = "spent_challenges"
    __table_args__ = (Index("ix_spent_challenges_at", "at"),)

    challenge: Mapped[str] = mapped_column(Name, primary_key=True)
    at: Mapped[int] = mapped_column(Millis)


MODELS = (Passkey, Authenticator, RecoveryCode, SpentChallenge)
