"""Tables of identity: users, sessions, magic links and access tokens. Secrets are stored as hashes only."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.db import Id, Json, Millis, Model, Name


class User(Model):
    """A person. `email` is normalised to lower case; `status` is active, invited or suspended.

    `proof_path` is where they give a second factor after signing in; null where none is demanded.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index(None, "role", "status"),  # the guard that an owner remains
        Index(None, "created_at", "id"),  # the members page, newest first
        Index(None, "invited_by"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    email: Mapped[str] = mapped_column(Name, unique=True)
    name: Mapped[str] = mapped_column(Name, default="")
    role: Mapped[str] = mapped_column(Name)
    status: Mapped[str] = mapped_column(Name, default="active")
    invited_by: Mapped[str | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    joined_at: Mapped[int | None] = mapped_column(Millis)
    last_active_at: Mapped[int | None] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)
    proof_path: Mapped[str | None] = mapped_column(Text)


class LoginSession(Model):
    """One signed-in browser, known by the hash of the random token in its cookie.

    `factor_at` is when the person last proved who they are (a fresh sign-in counts); null until a second factor is given.
    """

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id", "created_at"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(Name, unique=True)
    expires_at: Mapped[int] = mapped_column(Millis, index=True)
    created_at: Mapped[int] = mapped_column(Millis)
    last_seen_at: Mapped[int] = mapped_column(Millis)
    device: Mapped[str] = mapped_column(Name, default="")
    address: Mapped[str] = mapped_column(Name, default="")
    factor_at: Mapped[int | None] = mapped_column(Millis)


class MagicLink(Model):
    """One request to sign in.

    `token_hash` is null until the mail is made; `browser_hash` is null for the command line's links, which any browser
    may use; `user_id` is null where nobody has the address, and then no mail is sent. `next_path` is where to go then.
    """

    __tablename__ = "magic_links"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str | None] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(Name)
    token_hash: Mapped[str | None] = mapped_column(Name, unique=True)
    browser_hash: Mapped[str | None] = mapped_column(Name)
    code_hash: Mapped[str | None] = mapped_column(Name)
    code_tries: Mapped[int] = mapped_column(default=0)
    next_path: Mapped[str] = mapped_column(Text, default="")
    expires_at: Mapped[int] = mapped_column(Millis, index=True)
    used_at: Mapped[int | None] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)


class AccessToken(Model):
    """A program's key.

    `role` is the ceiling of its maker; `user_id` is null for tokens of the command line, which act as owner in their
    scopes; `scopes` are words separated by spaces, `prefix` is what people know the token by.
    """

    __tablename__ = "access_tokens"
    __table_args__ = (Index(None, "user_id"), Index(None, "created_at", "id"), Index(None, "created_by"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    token_hash: Mapped[str] = mapped_column(Name, unique=True)
    prefix: Mapped[str] = mapped_column(Name)
    scopes: Mapped[str] = mapped_column(Json)
    role: Mapped[str] = mapped_column(Name)
    user_id: Mapped[str | None] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    expires_at: Mapped[int | None] = mapped_column(Millis)
    last_used_at: Mapped[int | None] = mapped_column(Millis)
    revoked_at: Mapped[int | None] = mapped_column(Millis)
    created_by: Mapped[str] = mapped_column(Id)
    created_at: Mapped[int] = mapped_column(Millis)


MODELS: tuple[type[Model], ...] = (User, LoginSession, MagicLink, AccessToken)
