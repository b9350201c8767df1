"""What the endpoints of executions answer, and how it is made of rows."""

from __future__ import annotations

from typing import Any

import msgspec

from pilothouse.sdk import to_rfc3339, to_usd


class Workflow(msgspec.Struct, frozen=True):
    """A named kind of work."""

    id: str
    name: str
    created_at: str


class ExecutionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One execution; durations in ms, times RFC 3339, money a decimal string."""

    id: str
    workflow_id: str | None
    workflow: str | None
    status: str
    trigger: str | None
    agent: str | None
    user: str | None
    session: str | None
    environment: str | None
    release: str | None
    parent_id: str | None
    started_at: str | None
    finished_at: str | None
    duration_ms: int | None
    attributes: Any
    error_count: int
    total_tokens: int
    cost_usd: str | None
    created_at: str


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an execution."""

    id: str
    execution_id: str
    parent_id: str | None
    name: str
    kind: str
    status: str
    started_at: str | None
    finished_at: str | None
    duration_ms: int | None
    input: Any
    output: Any
    attributes: Any


class ErrorSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One error of an execution; what only the errors plugin knows is null where that is off."""

    id: str
    execution_id: str | None
    workflow_id: str | None
    group_id: str | None = None
    error_type: str
    message: str
    stack_trace: str | None = None
    severity: str | None = None
    resolved: bool | None = None
    resolved_at: str | None = None
    resolution_notes: str | None = None
    created_at: str


class UsageTotals(msgspec.Struct, frozen=True):
    """The sum of an execution's token usage; `cost_usd` is null where there are calls and none of them has a price."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: str | None = "0.000000000"
    unpriced_records: int = 0


class ExecutionDetail(ExecutionRecord, frozen=True, kw_only=True):
    """One execution with all that belongs to it; `reason` is what the person said who cancelled it."""

    reason: str | None
    input: Any
    output: Any
    steps: list[StepRecord]
    errors: list[ErrorSummary]
    token_usage: UsageTotals


class StatsRecord(msgspec.Struct, frozen=True):
    """Figures of a period: percentiles of durations in ms and the rate (0 to 1), null where there is nothing to count."""

    total: int
    by_status: dict[str, int]
    success_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    running: int


class CommandRecord(msgspec.Struct, frozen=True):
    """A command on its way to the client."""

    id: str
    execution_id: str
    command: str
    reason: str
    created_at: str


def execution_fields(row: Any) -> dict[str, Any]:
    """Return the fields of an `ExecutionRecord` from a row of the list or of one execution."""
    return {
        "id": row.id,
        "workflow_id": row.workflow_id,
        "workflow": row.workflow,
        "status": row.status,
        "trigger": row.trigger,
        "agent": row.agent,
        "user": row.user,
        "session": row.session,
        "environment": row.environment,
        "release": row.release,
        "parent_id": row.parent_id,
        "started_at": _time(row.started_at),
        "finished_at": _time(row.finished_at),
        "duration_ms": _duration(row),
        "attributes": stored_json(row.attributes),
        "error_count": row.error_count,
        "total_tokens": row.total_tokens,
        "cost_usd": None if row.cost_nano is None else to_usd(row.cost_nano),
        "created_at": to_rfc3339(row.created_at),
    }


def step_record(step: Any) -> StepRecord:
    """Return a step's record from its row."""
    return StepRecord(
        id=step.id, execution_id=step.execution_id, parent_id=step.parent_id, name=step.name, kind=step.kind,
        status=step.status, started_at=_time(step.started_at), finished_at=_time(step.finished_at),
        duration_ms=_duration(step), input=stored_json(step.input), output=stored_json(step.output),
        attributes=stored_json(step.attributes),
    )  # fmt: skip


def usage_totals(row: Any) -> UsageTotals:
    """Return the totals from an execution's row of sums, in nano-dollars."""
    cost = None if row.calls and row.unpriced_records == row.calls else to_usd(row.cost_nano)
    return UsageTotals(
        row.calls, row.prompt_tokens, row.completion_tokens, row.prompt_tokens + row.completion_tokens,
        row.cached_tokens, row.cache_write_tokens, row.reasoning_tokens, cost, row.unpriced_records,
    )  # fmt: skip


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _duration(row: Any) -> int | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return max(int(row.finished_at - row.started_at), 0)


def stored_json(text: str | None) -> Any:
    """Pass stored JSON on as it is: it was checked when it came in."""
    return None if text is None else msgspec.Raw(text.encode())
