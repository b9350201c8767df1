"""Keeping prompts and answers for as long as the operator wants them, and no longer. Opens its own units of work."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table, delete, select

from pilothouse.sdk import insert_ignore, lock_writers, now, runtime, unit_of_work
from pilothouse_gateway.calls import Call
from pilothouse_gateway.models import GatewayContent
from pilothouse_gateway.settings import KEEP_CONTENT

FORGOTTEN_AT_ONCE = 500  # rows a transaction deletes: each may hold half a megabyte

_TABLE: Table = GatewayContent.__table__


def keep(calls: Sequence[Call]) -> None:
    """Store prompts and answers of calls that ended, where that is switched on."""
    kept_for = runtime().settings[KEEP_CONTENT]
    if not calls or kept_for is None:
        return
    rows = [
        {
            "id": call.id, "execution_id": call.execution_id, "at": call.started_at, "expires_at": call.started_at + kept_for,
            "input": call.input, "output": call.output,
        }
        for call in calls
    ]  # fmt: skip
    with unit_of_work() as session:
        lock_writers(session.connection())
        insert_ignore(session.connection(), _TABLE, rows)


def forget() -> bool:
    """Delete some of what is past its time, or all of it in time where nothing is to be kept; says whether more may be there.

    A shorter time than before holds for what is there already.
    """
    kept_for = runtime().settings[KEEP_CONTENT]
    old = (
        _TABLE.c.expires_at <= now() if kept_for is None else (_TABLE.c.expires_at <= now()) | (_TABLE.c.at <= now() - kept_for)
    )
    with unit_of_work() as session:
        ids = list(session.scalars(select(_TABLE.c.id).where(old).limit(FORGOTTEN_AT_ONCE)))
        if ids:
            session.execute(delete(_TABLE).where(_TABLE.c.id.in_(ids)))
    return len(ids) == FORGOTTEN_AT_ONCE
