"""The audit log: one entry per action, in the action's own transaction, append-only and hash-chained.

Each entry's hash is the SHA-256 of its canonical JSON with the hash of the entry before; a second table keeps how many
entries there are and the newest hash. `verify` so finds an entry that was changed, exchanged, inserted or deleted, at
the end too. What it cannot find by itself: somebody who may write the database and recomputes the whole chain together
with its head, or puts back an older copy of both tables. Against that, keep the head that `pilothouse audit verify`
prints in another place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import g, has_request_context
from sqlalchemy import Connection, Index, Row, func, insert, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.db import Id, Json, Millis, Model, Name, before_commit, db

ACTING = "pilothouse_principal"  # the attribute of flask.g in which identity leaves who acts
CHAIN_LOCK = 0x6175646974  # PostgreSQL: one writer of the chain at a time
GENESIS = "0" * 64
BATCH = 1_000
HEAD = 1  # the id of the head's only row


class AuditEntry(Model):
    """One thing that was done, or refused. `actor` is a user's id, `token:<id>`, `system` or `anonymous`."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "at"), Index(None, "actor", "seq"), Index(None, "target", "seq"))

    seq: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(Id, unique=True)
    at: Mapped[int] = mapped_column(Millis)
    actor: Mapped[str] = mapped_column(Id)
    actor_name: Mapped[str] = mapped_column(Name)
    action: Mapped[str] = mapped_column(Name)
    target: Mapped[str] = mapped_column(Name)
    outcome: Mapped[str] = mapped_column(Name)
    detail: Mapped[str] = mapped_column(Json)
    prev_hash: Mapped[str] = mapped_column(Name)
    hash: Mapped[str] = mapped_column(Name)


class AuditHead(Model):
    """The end of the chain: how many entries there are, and the hash of the newest one."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entries: Mapped[int] = mapped_column(Millis)
    hash: Mapped[str] = mapped_column(Name)


MODELS: tuple[type[Model], ...] = (AuditEntry, AuditHead)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `examine` found: entries read, the first broken one (None when the chain is whole), the newest hash."""

    entries: int
    broken_at: int | None
    head: str


def record(
    action: str,
    target: str = "",
    *,
    principal: Principal | None = None,
    outcome: str = "ok",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry to the open unit of work; it commits or vanishes with it.

    The actor is `principal`, else who makes the current request, else `anonymous` in one and `system` elsewhere. The
    row is written at the end of the transaction, so that the lock of the chain is the last one taken.
    """
    acting = principal or g.get(ACTING)
    entry = {
        "id": clock.new_id(),
        "at": clock.now(),
        "actor": acting.id if acting else _nobody(),
        "actor_name": (acting.email or acting.name) if acting else "",
        "action": action,
        "target": target[:255],
        "outcome": outcome,
        "detail": json.dumps(dict(detail or {}), sort_keys=True, ensure_ascii=True),
    }
    before_commit(lambda: _append(entry))


def _nobody() -> str:
    return "anonymous" if has_request_context() else "system"


def verify() -> int | None:
    """Return the number of the first entry that is broken or missing, None when the chain is whole."""
    return examine().broken_at


def examine() -> Verdict:
    """Read the whole chain, in batches and from one snapshot, and compare it with its head."""
    engine = db.engine
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        total, newest = _head(connection) or (0, GENESIS)
        read, before = 0, GENESIS
        for row in _entries(connection):
            read += 1
            if row.seq != read or row.prev_hash != before or row.hash != _hash(row._asdict()):
                return Verdict(read, read, newest)
            before = row.hash
    if read != total:  # some were cut off at the end, or there are more than the head knows of
        return Verdict(read, min(read, total) + 1, newest)
    return Verdict(read, None if before == newest else read, newest)


def _entries(connection: Connection) -> Iterator[Row[Any]]:
    last = 0
    while True:
        statement = select(*AuditEntry.__table__.columns).where(AuditEntry.seq > last).order_by(AuditEntry.seq)
        rows = connection.execute(statement.limit(BATCH)).all()
        yield from rows
        if len(rows) < BATCH:
            return
        last = rows[-1].seq


def _append(entry: dict[str, Any]) -> None:
    session = db.session()
    session.flush()
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAIN_LOCK})
    total, before = _head(connection) or _new_head(connection)
    entry.update(seq=total + 1, prev_hash=before)
    entry["hash"] = _hash(entry)
    connection.execute(insert(AuditEntry), entry)
    connection.execute(update(AuditHead).where(AuditHead.id == HEAD).values(entries=total + 1, hash=entry["hash"]))


def _head(connection: Connection) -> tuple[int, str] | None:
    row = connection.execute(select(AuditHead.entries, AuditHead.hash).where(AuditHead.id == HEAD)).one_or_none()
    return (row.entries, row.hash) if row else None


def _new_head(connection: Connection) -> tuple[int, str]:
    # after the highest entry: where somebody deleted the head, the chain goes on and `verify` sees the gap
    highest = connection.scalar(select(func.coalesce(func.max(AuditEntry.seq), 0))) or 0
    connection.execute(insert(AuditHead), {"id": HEAD, "entries": highest, "hash": GENESIS})
    return highest, GENESIS


def _hash(entry: Mapping[str, Any]) -> str:
    names = ("seq", "id", "at", "actor", "actor_name", "action", "target", "outcome", "detail", "prev_hash")
    canonical = json.dumps({name: entry[name] for name in names}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
