"""Tables of what arrived, counted by day: who sent it, and what was refused."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Millis, Model, Name

LONGEST_CLIENT = 80
LONGEST_VERSION = 40
LONGEST_FIELD = 120
LONGEST_MESSAGE = 255
LONGEST_ID = 128


class SourceDay(Model):
    """What one client sent with one access token on a day (the day's first millisecond in UTC)."""

    __tablename__ = "source_days"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - rows lie in the order of the key: a period's together

    day: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    token_id: Mapped[str] = mapped_column(Id, primary_key=True)
    client: Mapped[str] = mapped_column(String(LONGEST_CLIENT), primary_key=True)
    version: Mapped[str] = mapped_column(String(LONGEST_VERSION), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    accepted: Mapped[int] = mapped_column(BigInteger)
    duplicates: Mapped[int] = mapped_column(BigInteger)
    rejected: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[int] = mapped_column(Millis)


class SourceRefusal(Model):
    """One reason for which signals of a client were refused on a day, with the newest one that was."""

    __tablename__ = "source_refusals"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - as above

    day: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    token_id: Mapped[str] = mapped_column(Id, primary_key=True)
    client: Mapped[str] = mapped_column(String(LONGEST_CLIENT), primary_key=True)
    version: Mapped[str] = mapped_column(String(LONGEST_VERSION), primary_key=True)
    field: Mapped[str] = mapped_column(String(LONGEST_FIELD), primary_key=True)
    message: Mapped[str] = mapped_column(String(LONGEST_MESSAGE), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[int] = mapped_column(Millis)
    last_signal: Mapped[str | None] = mapped_column(Name)


MODELS = (SourceDay, SourceRefusal)
