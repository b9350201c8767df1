"""`Idempotency-Key`: the same POST by the same caller gets its first answer again for 24 hours.

A key is claimed in the request's own transaction, so that two at once do the work once: the second waits for the lock and
then finds the answer. Answers of 4xx and 5xx are not kept: they changed nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from flask import Response, request
from sqlalchemy import LargeBinary, delete
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse import clock
from pilothouse.db import Id, Millis, Model, db, unit_of_work
from pilothouse.errors import Conflict, Invalid
from pilothouse.identity.principal import current_principal
from pilothouse.web.bodies import API_LIMIT, read_body

KEPT = clock.DAY
LONGEST_KEY = 255


class IdempotentAnswer(Model):
    """The first answer to a request with an Idempotency-Key."""

    __tablename__ = "idempotent_answers"

    id: Mapped[str] = mapped_column(Id, primary_key=True)  # hash of caller, route and key
    request_hash: Mapped[str] = mapped_column(Id)
    status: Mapped[int]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    content_type: Mapped[str] = mapped_column(Id)
    created_at: Mapped[int] = mapped_column(Millis, index=True)


def remembered(work: Callable[[], Response]) -> Response:
    """Run `work` once a key. Raises Conflict where the key came before with another body."""
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST":
        return work()
    if not 1 <= len(key) <= LONGEST_KEY:
        raise Invalid.field("Idempotency-Key", f"must have 1 to {LONGEST_KEY} characters")
    principal = current_principal()
    identity = _hash(principal.id if principal else request.remote_addr or "", request.path, key)
    request_hash = _hash(read_body(API_LIMIT))
    with unit_of_work() as session:
        kept = session.get(IdempotentAnswer, identity)
        if kept is not None and kept.created_at > clock.now() - KEPT:
            if kept.request_hash != request_hash:
                raise Conflict("This Idempotency-Key was used before with another body.")
            return Response(kept.body, kept.status, content_type=kept.content_type)
        response = work()
        session.merge(
            IdempotentAnswer(
                id=identity,
                request_hash=request_hash,
                status=response.status_code,
                body=response.get_data(),
                content_type=response.content_type or "application/json",
                created_at=clock.now(),
            )
        )
        return response


def purge(_payload: object = None) -> None:
    """Delete answers older than 24 hours."""
    db.session().execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < clock.now() - KEPT))


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
