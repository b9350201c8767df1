"""`Idempotency-Key`: the same POST by the same caller gets its first answer again for 24 hours.

A key is claimed in the request's own transaction, so that two at once do the work once: the second waits for the first
and then finds its answer. Answers of 4xx and 5xx are not kept: they changed nothing. An answer that shows a secret once
(a new token) is kept sealed by the vault's master key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus

from flask import Response, request
from sqlalchemy import LargeBinary, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from pilothouse import clock
from pilothouse.crypto import FORMAT, Place
from pilothouse.db import Id, Millis, Model, db, insert_ignore, unit_of_work
from pilothouse.errors import Conflict, Invalid
from pilothouse.identity.principal import current_principal
from pilothouse.runtime import runtime
from pilothouse.web.bodies import API_LIMIT, read_body

KEPT = clock.DAY
LONGEST_KEY = 255
CLAIMED = 0  # the status of a row whose answer is still being worked out; no other transaction ever sees it
_SECRET = re.compile(rb'"([a-z_]*_)?(token|secret|link)"\s*:\s*"')  # what answers call the secrets that they show


class IdempotentAnswer(Model):
    """The first answer to a request with an Idempotency-Key."""

    __tablename__ = "idempotent_answers"

    id: Mapped[str] = mapped_column(Id, primary_key=True)  # hash of caller, route and key
    request_hash: Mapped[str] = mapped_column(Id)
    status: Mapped[int]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    content_type: Mapped[str] = mapped_column(Id)
    created_at: Mapped[int] = mapped_column(Millis, index=True)


def remembered(work: Callable[[], Response], limit: int = API_LIMIT) -> Response:
    """Run `work` once a key, in one transaction with the claim of the key; `limit` is that of the route's bodies.

    Raises Conflict where the key came before with another body, Invalid for a key that is none.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return work()
    if not 1 <= len(key) <= LONGEST_KEY:
        raise Invalid.field("Idempotency-Key", f"must have 1 to {LONGEST_KEY} characters")
    principal = current_principal()
    # each access token of a person is a caller of its own
    caller = (principal.token_id or principal.id) if principal else request.remote_addr or ""
    identity = _hash(caller, request.path, key)
    request_hash = _hash(read_body(limit))
    with unit_of_work() as session:
        row = _claim(session, identity, request_hash)
        if row.status != CLAIMED:
            return Response(_open(row), row.status, content_type=row.content_type)
        response = work()
        body = _seal(response.get_data(), identity)
        if response.status_code >= HTTPStatus.BAD_REQUEST or body is None:
            session.delete(row)
        else:
            row.status, row.body, row.content_type = response.status_code, body, response.content_type or ""
        return response


def _claim(session: Session, identity: str, request_hash: str) -> IdempotentAnswer:
    """Return the key's row: with its answer, or as CLAIMED for this transaction. Raises Conflict for another body."""
    now = clock.now()
    empty = {"status": CLAIMED, "body": b"", "content_type": "", "created_at": now}
    claim = {"id": identity, "request_hash": request_hash, **empty}
    # whoever comes second waits here for the first one's commit: at BEGIN on SQLite, at the key on PostgreSQL
    insert_ignore(session.connection(), IdempotentAnswer.__table__, [claim])
    statement = select(IdempotentAnswer).where(IdempotentAnswer.id == identity).with_for_update()
    row = session.scalars(statement.execution_options(populate_existing=True)).one()
    if row.created_at <= now - KEPT:
        row.request_hash, row.status, row.created_at = request_hash, CLAIMED, now
    if row.request_hash != request_hash:
        raise Conflict("This Idempotency-Key was used before with another body.")
    return row


def _seal(body: bytes, identity: str) -> bytes | None:
    """Return what may be stored of an answer: one with a secret sealed, None where the vault cannot do that."""
    if _SECRET.search(body) is None:
        return body
    keyring = runtime().keyring
    return None if keyring.sealed else keyring.seal(body.decode(), _place(identity)).encode()


def _open(row: IdempotentAnswer) -> bytes:
    sealed = row.body.startswith(FORMAT.encode())  # which no JSON starts with
    return runtime().keyring.unseal(row.body.decode(), _place(row.id)).encode() if sealed else row.body


def _place(identity: str) -> Place:
    return Place(IdempotentAnswer.__tablename__, identity, "body")


def purge(_payload: object = None) -> None:
    """Delete answers older than 24 hours."""
    db.session().execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < clock.now() - KEPT))


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
