"""What an execution adds up from its children: errors and token usage, as its list and page show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, case, select, update

from pilothouse.sdk import Batch, Bulk, parse_usd, run_many
from pilothouse_executions.events import UsageDelta
from pilothouse_executions.models import Execution, ExecutionError, ExecutionUsage

_EXECUTIONS: Table = Execution.__table__  # type: ignore[assignment]
_USAGES: Table = ExecutionUsage.__table__  # type: ignore[assignment]
_ERRORS: Table = ExecutionError.__table__  # type: ignore[assignment]
_INSERT_ERRORS = Bulk(_ERRORS, ("execution_id", "id", "error_type", "message", "at"), ignore_conflicts=True)
_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_USAGE = ("calls", *_TOKENS, "cost_nano", "unpriced_records")
_ADD_USAGE = Bulk(
    _USAGES,
    ("execution_id", *_USAGE),
    on_conflict="(execution_id) DO UPDATE SET " + ", ".join(f"{n} = execution_usage.{n} + excluded.{n}" for n in _USAGE),
)
_ADD_TO = (
    "UPDATE executions SET error_count = error_count + ?, total_tokens = total_tokens + ?,"
    " cost_nano = COALESCE(cost_nano + CAST(? AS BIGINT), CAST(? AS BIGINT), cost_nano), heard_at = ? WHERE id = ?"
)
MESSAGE_SHOWN = 1_000  # characters of an error's message that its execution's page shows


def count_errors(batch: Batch) -> None:
    """Keep the short list of an execution's errors and their number; errors' own plugin keeps the whole."""
    rows = [
        (s.execution_id, s.id, s.error_type, s.message[:MESSAGE_SHOWN], s.at or batch.received_at)
        for s in batch.signals
        if s.execution_id
    ]
    _INSERT_ERRORS.insert(batch.connection, rows)
    numbers: dict[str, int] = {}
    for row in rows:
        numbers[row[0]] = numbers.get(row[0], 0) + 1
    _add_to(batch.connection, [(number, 0, None, None, batch.received_at, key) for key, number in numbers.items()])


def count_usage(batch: Batch) -> None:
    """Add usage to the totals of its execution."""
    sums: dict[str, dict[str, int]] = {}
    for signal in batch.signals:
        if signal.execution_id is None:
            continue
        entry = sums.setdefault(signal.execution_id, dict.fromkeys(_USAGE, 0))
        entry["calls"] += 1
        for name in _TOKENS:
            entry[name] += getattr(signal, name) or 0
        if signal.cost_usd is None:
            entry["unpriced_records"] += 1
        else:
            entry["cost_nano"] += parse_usd(signal.cost_usd)
    if not sums:
        return
    _ADD_USAGE.insert(batch.connection, [(key, *(entry[name] for name in _USAGE)) for key, entry in sums.items()])
    _add_to(batch.connection, [_totals(key, entry, batch.received_at) for key, entry in sums.items()])


def correct_usage(connection: Connection, deltas: Sequence[UsageDelta]) -> None:
    """Add corrections to the totals of executions, each once; their cost is null where none of their calls is priced."""
    known = [{"key": delta.execution_id, **{f"add_{name}": getattr(delta, name) for name in _USAGE}} for delta in deltas]
    adding = update(_USAGES).where(_USAGES.c.execution_id == bindparam("key"))
    connection.execute(adding.values({name: _USAGES.c[name] + bindparam(f"add_{name}") for name in _USAGE}), known)
    priced = case((_USAGES.c.calls > _USAGES.c.unpriced_records, _USAGES.c.cost_nano), else_=None)
    cost = select(priced).where(_USAGES.c.execution_id == _EXECUTIONS.c.id).scalar_subquery()
    tokens = _EXECUTIONS.c.total_tokens + bindparam("tokens")
    statement = update(_EXECUTIONS).where(_EXECUTIONS.c.id == bindparam("key"))
    connection.execute(
        statement.values(total_tokens=tokens, cost_nano=cost),
        [{"key": d.execution_id, "tokens": d.prompt_tokens + d.completion_tokens} for d in deltas],
    )


def _totals(key: str, entry: Mapping[str, int], at: int) -> tuple[Any, ...]:
    tokens = entry["prompt_tokens"] + entry["completion_tokens"]
    priced = entry["calls"] > entry["unpriced_records"]
    cost = entry["cost_nano"] if priced else None
    return 0, tokens, cost, cost, at, key


def _add_to(connection: Connection, sums: Sequence[tuple[Any, ...]]) -> None:
    """Add errors, tokens and cost, and note the moment, by execution; no cost leaves it as it is."""
    run_many(connection, _ADD_TO, sums)
