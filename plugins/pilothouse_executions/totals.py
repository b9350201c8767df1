"""What an execution adds up from its children: errors and token usage, as its list and page show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Table, bindparam, case, select, update

from pilothouse.sdk import Batch, Bulk, parse_usd, run_many
from pilothouse_executions.events import UsageDelta
from pilothouse_executions.models import Execution, ExecutionError, ExecutionUsage

_EXECUTIONS: Table = Execution.__table__
_USAGES: Table = ExecutionUsage.__table__
_ERRORS: Table = ExecutionError.__table__
_INSERT_ERRORS = Bulk(_ERRORS, ("execution_id", "id", "error_type", "message", "at"), ignore_conflicts=True)
_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_USAGE = ("calls", *_TOKENS, "cost_nano", "unpriced_records")
# Sums stop at the largest number that both databases hold: SQLite would go on in floats, PostgreSQL would fail.
LARGEST = 2**63 - 1
_ADDED = (
    f"{{0}} = CASE WHEN execution_usage.{{0}} > {LARGEST} - excluded.{{0}} THEN {LARGEST}"
    " ELSE execution_usage.{0} + excluded.{0} END"
)
_ADD_USAGE = Bulk(
    _USAGES,
    ("execution_id", *_USAGE),
    on_conflict="(execution_id) DO UPDATE SET " + ", ".join(_ADDED.format(name) for name in _USAGE),
)
_ADD_TO = (
    "UPDATE executions SET error_count = error_count + ?,"  # noqa: S608 - our own number only
    f" total_tokens = CASE WHEN total_tokens > ? THEN {LARGEST} ELSE total_tokens + ? END,"
    f" cost_nano = COALESCE(CASE WHEN cost_nano > CAST(? AS BIGINT) THEN {LARGEST} ELSE cost_nano + CAST(? AS BIGINT) END,"
    " CAST(? AS BIGINT), cost_nano), heard_at = ? WHERE id = ?"
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
    _add_to(batch.connection, [_added(key, batch.received_at, errors=number) for key, number in numbers.items()])


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
    rows = [(key, *(min(entry[name], LARGEST) for name in _USAGE)) for key, entry in sums.items()]
    _ADD_USAGE.insert(batch.connection, rows)
    _add_to(batch.connection, [_totals(key, entry, batch.received_at) for key, entry in sums.items()])


def correct_usage(connection: Connection, deltas: Sequence[UsageDelta]) -> None:
    """Add corrections to the totals of executions, each once; their cost is null where none of their calls is priced."""
    adding = update(_USAGES).where(_USAGES.c.execution_id == bindparam("key"))
    known = [{"key": d.execution_id, **_bound({name: getattr(d, name) for name in _USAGE})} for d in deltas]
    connection.execute(adding.values({name: _plus(_USAGES.c[name], name) for name in _USAGE}), known)
    priced = case((_USAGES.c.calls > _USAGES.c.unpriced_records, _USAGES.c.cost_nano), else_=None)
    cost = select(priced).where(_USAGES.c.execution_id == _EXECUTIONS.c.id).scalar_subquery()
    statement = update(_EXECUTIONS).where(_EXECUTIONS.c.id == bindparam("key"))
    connection.execute(
        statement.values(total_tokens=_plus(_EXECUTIONS.c.total_tokens, "tokens"), cost_nano=cost),
        [{"key": d.execution_id, **_bound({"tokens": d.prompt_tokens + d.completion_tokens})} for d in deltas],
    )


def _plus(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return a column and what is bound to `add_<name>`, at most LARGEST; counts of records never get there."""
    if not isinstance(column.type, BigInteger):
        return column + bindparam(f"add_{name}")
    return case((column > bindparam(f"room_{name}"), LARGEST), else_=column + bindparam(f"add_{name}"))


def _bound(values: Mapping[str, int]) -> dict[str, int]:
    added = {name: min(value, LARGEST) for name, value in values.items()}
    return {f"add_{n}": v for n, v in added.items()} | {f"room_{n}": LARGEST - max(v, 0) for n, v in added.items()}


def _totals(key: str, entry: Mapping[str, int], at: int) -> tuple[Any, ...]:
    priced = entry["calls"] > entry["unpriced_records"]
    tokens = entry["prompt_tokens"] + entry["completion_tokens"]
    return _added(key, at, tokens=tokens, cost=entry["cost_nano"] if priced else None)


def _added(key: str, at: int, *, errors: int = 0, tokens: int = 0, cost: int | None = None) -> tuple[Any, ...]:
    """Return the parameters of `_ADD_TO`."""
    tokens = min(tokens, LARGEST)
    cost = None if cost is None else min(cost, LARGEST)
    room = None if cost is None else LARGEST - cost
    return errors, LARGEST - tokens, tokens, room, cost, cost, at, key


def _add_to(connection: Connection, sums: Sequence[tuple[Any, ...]]) -> None:
    """Add errors, tokens and cost, and note the moment, by execution; no cost leaves it as it is."""
    run_many(connection, _ADD_TO, sums)
