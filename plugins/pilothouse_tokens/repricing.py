"""Pricing the past again: in small transactions, each exact; a second run changes nothing, and the difference is reported.

A run goes through the rows by their number up to where they ended when it began; what came later was priced by the new
prices already. Rows whose source reported a cost keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, exists, func, or_, select, update

from pilothouse.sdk import (
    Deltas,
    Principal,
    after_commit,
    db,
    enqueue,
    lock_writers,
    new_id,
    now,
    publish,
    runtime,
    unit_of_work,
)
from pilothouse_executions.events import UsageCorrected, UsageDelta
from pilothouse_tokens import counting
from pilothouse_tokens.events import Repriced
from pilothouse_tokens.models import Repricing, TokenUsageRow, UnpricedModel
from pilothouse_tokens.pricing import Pricer, pricer, remember

TASK = "tokens.reprice"
WINDOW = 10_000  # numbers a transaction looks at: it holds the writers' lock for some 50 ms
STEPS = 500  # transactions a job makes before it hands over to the next one
EVENT_ROWS = 200  # executions in one event

_USAGE: Table = TokenUsageRow.__table__


def start(model: str | None, since: int, principal: Principal | None = None) -> Repricing:
    """Begin to price usage of a model (of all, if None) from a moment (ms) on again, in the caller's unit of work."""
    session = db.session()
    run = Repricing(
        id=new_id(), model=model, since=since, created_at=now(),
        created_by=principal.called if principal else None, position=0,
        until=session.scalar(select(func.max(TokenUsageRow.seq))) or 0, examined=0, changed=0, difference_nano=0,
        finished_at=None,
    )  # fmt: skip
    session.add(run)
    enqueue(TASK, {"repricing_id": run.id})
    return run


def start_for_known() -> int:
    """Begin to price the usage of unpriced models that the book knows by now; returns how many. In a unit of work."""
    session = db.session()
    known = 0
    for entry in session.scalars(select(UnpricedModel).order_by(UnpricedModel.model)).all():
        where = (TokenUsageRow.model == entry.model, TokenUsageRow.cost_nano.is_(None))
        oldest = session.scalar(select(TokenUsageRow).where(*where).order_by(TokenUsageRow.seq).limit(1))
        if oldest is None:
            session.delete(entry)
        elif pricer(session.connection(), [oldest]).price(oldest) is not None:
            start(entry.model, 0)
            known += 1
    return known


def run_on(repricing_id: str, *, window: int = WINDOW, steps: int = STEPS) -> None:
    """Go on with a run, in transactions of its own; after `steps` of them another job takes over."""
    for _ in range(steps):
        with unit_of_work():
            if not step(repricing_id, window=window):
                return
    with unit_of_work():
        enqueue(TASK, {"repricing_id": repricing_id})


def step(repricing_id: str, *, window: int = WINDOW) -> bool:
    """Price the next window of rows again, in the caller's unit of work; says whether more is left."""
    session = db.session()
    connection = session.connection()
    lock_writers(connection)
    run = session.get(Repricing, repricing_id, with_for_update=True)
    if run is None or run.finished_at is not None:
        return False
    upto = min(run.position + window, run.until)
    rows = _rows(connection, run, upto)
    found = _price_again(rows, pricer(connection, rows))
    if found.changed:
        _store(connection, found)
    run.position, run.examined = upto, run.examined + len(rows)
    run.changed, run.difference_nano = run.changed + len(found.changed), run.difference_nano + found.difference
    if upto < run.until:
        return True
    _finish(run)
    return False


@dataclass(slots=True)
class _Found:
    """What pricing some rows again has changed."""

    changed: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    prices: Pricer | None = None
    difference: int = 0


def _rows(connection: Connection, run: Repricing, upto: int) -> Sequence[Any]:
    statement = select(_USAGE).where(_USAGE.c.seq > run.position, _USAGE.c.seq <= upto)
    statement = statement.where(_USAGE.c.at >= run.since, _USAGE.c.cost_reported.is_(None))
    if run.model is not None:
        name = run.model.lower()
        statement = statement.where(or_(func.lower(_USAGE.c.model) == name, func.lower(_USAGE.c.request_model) == name))
    return connection.execute(statement.order_by(_USAGE.c.seq)).all()


def _price_again(rows: Sequence[Any], prices: Pricer) -> _Found:
    found = _Found(prices=prices)
    for row in rows:
        priced = prices.price(row)
        cost, price_id = (None, None) if priced is None else (priced.cost_nano, priced.price_id)
        if (cost, price_id) != (row.cost_nano, row.price_id):
            before = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented access
            found.changed.append((before, {**before, "cost_nano": cost, "price_id": price_id}))
            found.difference += (cost or 0) - (row.cost_nano or 0) if row.counted else 0
    return found


def _store(connection: Connection, found: _Found) -> None:
    """Write the changed rows, and correct the measures and the totals of executions."""
    if found.prices is not None:
        remember(connection, found.prices.used.values())
    statement = update(_USAGE).where(_USAGE.c.seq == bindparam("k"))
    statement = statement.values(cost_nano=bindparam("cost"), price_id=bindparam("price"))
    values = [{"k": row["seq"], "cost": row["cost_nano"], "price": row["price_id"]} for _, row in found.changed]
    connection.execute(statement, values)
    deltas = Deltas()
    sums: dict[str, list[int]] = {}
    for before, after in found.changed:
        if not before["counted"]:
            continue
        counting.take_back(deltas, before)
        counting.add(deltas, after)
        if before["execution_id"]:
            sum_ = sums.setdefault(before["execution_id"], [0, 0])
            sum_[0] += (after["cost_nano"] or 0) - (before["cost_nano"] or 0)
            sum_[1] += int(after["cost_nano"] is None) - int(before["cost_nano"] is None)
    deltas.write(connection)
    corrections = [UsageDelta(execution_id=k, cost_nano=v[0], unpriced_records=v[1]) for k, v in sums.items() if any(v)]
    for first in range(0, len(corrections), EVENT_ROWS):
        publish(UsageCorrected(deltas=tuple(corrections[first : first + EVENT_ROWS])))


def _finish(run: Repricing) -> None:
    run.finished_at = now()
    waiting = exists().where(TokenUsageRow.model == UnpricedModel.model, TokenUsageRow.cost_nano.is_(None))
    db.session().execute(delete(UnpricedModel).where(~waiting).execution_options(synchronize_session=False))
    publish(Repriced(model=run.model, examined=run.examined, changed=run.changed, difference_nano=run.difference_nano))
    after_commit(lambda: runtime().changes.bump("tokens", "executions"))
