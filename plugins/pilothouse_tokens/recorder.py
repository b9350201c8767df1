"""Recording token usage: each call once, by its id and by its response id; sums only until their parts are known.

Runs inside the ingest transaction, one writer at a time; a few bulk statements a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, delete

from pilothouse.sdk import NANO, Batch, Bulk, Link, Recorded, insert_ignore, known_ids, parse_usd
from pilothouse_tokens import attribution, completing, counting, leaves
from pilothouse_tokens.events import Unpriced
from pilothouse_tokens.models import BudgetReservation, TokenUsageRow, UnpricedModel
from pilothouse_tokens.pricing import MOST_COST

USAGE: Table = TokenUsageRow.__table__
_UNPRICED: Table = UnpricedModel.__table__
COLUMNS = tuple(column.name for column in USAGE.columns if column.name != "seq")
MOST_TOKENS = 10**10  # of one call; no model takes a thousandth of it, and sums of more could leave 64 bits

Row = dict[str, Any]

_INSERT = Bulk(USAGE, COLUMNS)
_VALUES = itemgetter(*COLUMNS)


def record_usage(batch: Batch) -> Recorded:
    """Store the usage that is new. A known id or response id, or a sum whose parts are known, is a duplicate.

    Of two spans of one call the one that tells of more tokens counts, in whichever order they come.
    """
    seen = known_ids(batch.connection, USAGE, [signal.id for signal in batch.signals])
    responses = [signal.response_id for signal in batch.signals if signal.response_id]
    answered = known_ids(batch.connection, USAGE, responses, column="response_id")
    fresh: dict[int, Row] = {}
    late: dict[int, Row] = {}
    rejected: dict[int, str] = {}
    for place, signal in sorted(enumerate(batch.signals), key=_fullest_first):
        row = _row(batch, signal)
        if signal.id in seen or (signal.response_id and signal.response_id in answered):
            late[place] = row
            continue
        if (fault := _fault(row)) is not None:
            rejected[place] = fault
            continue
        seen.add(signal.id)
        if signal.response_id:
            answered.add(signal.response_id)
        fresh[place] = row
    leaves.settle(batch, list(fresh.values()))
    _INSERT.insert(batch.connection, map(_VALUES, fresh.values()))
    _count(batch, fresh.values())
    completed = completing.complete(batch, {place: row for place, row in late.items() if _fault(row) is None})
    _note_unpriced(batch, completed.values())
    duplicates = late.keys() | {place for place, row in fresh.items() if not row["counted"]}
    return Recorded(duplicates=frozenset(duplicates), rejected=rejected)


def _fullest_first(item: tuple[int, Any]) -> int:
    """Order the spans of one call; what was not found on steps keeps its place."""
    _, signal = item
    return -(signal.prompt_tokens + signal.completion_tokens) if signal.response_id and signal.step_id else 0


def relink_usage(batch: Batch) -> None:
    """Let usage follow its execution's workflow and agent, which a later report may have named."""
    attribution.follow(batch)


def _count(batch: Batch, rows: Iterable[Mapping[str, Any]]) -> None:
    counted = [row for row in rows if row["counted"]]
    counting.add_all(batch.measures, counted)
    _note_unpriced(batch, counted)
    _close_reservations(batch.connection, [row["id"] for row in counted])


def _note_unpriced(batch: Batch, rows: Iterable[Mapping[str, Any]]) -> None:
    """Tell of each model that nothing prices, the first time. A call that failed has no tokens to price, nor often a model."""
    unpriced = {row["model"]: row for row in rows if row["cost_nano"] is None and leaves.has_tokens(row)}
    known = known_ids(batch.connection, _UNPRICED, list(unpriced), column="model")
    new = [row for model, row in sorted(unpriced.items()) if model not in known]
    insert_ignore(batch.connection, _UNPRICED, [_unpriced(row) for row in new])
    for row in new:
        batch.publish(Unpriced(model=row["model"], provider=row["provider"]))


def _unpriced(row: Mapping[str, Any]) -> Row:
    return {"model": row["model"], "lookup": row["model"].lower(), "provider": row["provider"], "first_at": row["at"]}


def _close_reservations(connection: Connection, ids: list[str]) -> None:
    """Give back what was set aside for calls whose usage is recorded: from here on the roll-ups count it."""
    if ids and known_ids(connection, BudgetReservation.__table__, ids):
        connection.execute(delete(BudgetReservation).where(BudgetReservation.id.in_(ids)))


def _row(batch: Batch, signal: Any) -> Row:
    link = batch.links.get(signal.execution_id) or Link() if signal.execution_id else Link()
    own = signal.workflow or None
    agent = signal.agent or None
    split = (signal.cached_tokens, signal.cache_write_tokens, signal.reasoning_tokens)
    return {
        "id": signal.id,
        "execution_id": signal.execution_id,
        "workflow_id": batch.workflows.get(own) if own else link.workflow_id,
        "workflow": own or link.workflow,
        "agent": agent or link.agent or None,
        "inherits": attribution.flags(signal.execution_id, own, agent),
        "user": signal.user or None,
        "key_id": signal.key_id or None,
        "provider": signal.provider or None,
        "model": signal.model,
        "request_model": signal.request_model or None,
        "service_tier": signal.service_tier or None,
        "response_id": signal.response_id or None,
        "step_id": signal.step_id,
        "parent_id": signal.parent_id,
        "at": batch.received_at if signal.at is None else signal.at,
        "latency_ms": signal.latency_ms,
        "prompt_tokens": signal.prompt_tokens,
        "completion_tokens": signal.completion_tokens,
        "cached_tokens": signal.cached_tokens or 0,
        "cache_write_tokens": signal.cache_write_tokens or 0,
        "cache_write_1h_tokens": signal.cache_write_1h_tokens or 0,
        "reasoning_tokens": signal.reasoning_tokens or 0,
        "split_known": any(part is not None for part in split) if signal.split_known is None else signal.split_known,
        "usage_source": signal.usage_source or "reported",
        "provisional": signal.provisional,
        "counted": True,
        "cost_nano": None if signal.cost_usd is None else parse_usd(signal.cost_usd),
        "cost_reported": signal.cost_reported,
        "price_id": signal.price_id,
    }


def _fault(row: Row) -> str | None:
    if row["prompt_tokens"] > MOST_TOKENS or row["completion_tokens"] > MOST_TOKENS:
        return f"more than {MOST_TOKENS} tokens in one call"
    if (row["cost_nano"] or 0) > MOST_COST:
        return f"one call cannot cost more than {MOST_COST // NANO} dollars"
    return None
