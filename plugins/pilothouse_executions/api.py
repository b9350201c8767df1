"""The HTTP endpoints of executions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
from flask import Response

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    FINAL,
    ApiBlueprint,
    Invalid,
    Limit,
    Moment,
    Page,
    SignalId,
    Source,
    Status,
    csv_response,
    current_principal,
    now,
    page_of,
    read_cursor,
    read_period,
    require,
    runtime,
    to_rfc3339,
)
from pilothouse.sdk import new_id as make_id
from pilothouse_executions import queries, service
from pilothouse_executions.queries import Filters
from pilothouse_executions.records import (
    CommandRecord,
    ErrorSummary,
    ExecutionDetail,
    ExecutionRecord,
    StatsRecord,
    UsageTotals,
    Workflow,
    execution_fields,
    step_record,
    stored_json,
    usage_totals,
)

VIEW, CHANGE, REPORT = "executions.runs.view", "executions.runs.control", "executions.runs.report"
TOPICS = (service.TOPIC,)
STATUSES = ("queued", "running", "succeeded", "failed", "cancelled", "timed_out", "lost")
EXPORTED = (
    "id", "workflow", "status", "trigger", "agent", "user", "session", "environment", "release", "parent_id",
    "started_at", "finished_at", "duration_ms", "error_count", "total_tokens", "cost_usd", "created_at",
)  # fmt: skip


class ListQuery(msgspec.Struct, frozen=True):
    """Filters of the list; `status` may repeat. `q` is a part of workflow, agent or id."""

    status: list[str] = []
    workflow: str | None = None
    agent: str | None = None
    environment: str | None = None
    session: str | None = None
    q: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    range: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None

    def filters(self) -> Filters:
        """Return the filters. Raises Invalid for a status that does not exist."""
        unknown = [status for status in self.status if status not in STATUSES]
        if unknown:
            raise Invalid.field("status", f"must be one of {', '.join(STATUSES)}")
        since, until = self.since, self.until
        if self.range is not None:
            period = read_period(self.range, self.since, self.until)
            since, until = Moment(period.since), self.until
        return Filters(tuple(self.status), self.workflow, self.agent, self.environment, self.q, since, until, self.session)


class StatsQuery(msgspec.Struct, frozen=True):
    """The period, by `range` or by `since` and `until`, and which executions of it are counted."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    workflow: str | None = None
    agent: str | None = None
    environment: str | None = None


class WorkflowQuery(msgspec.Struct, frozen=True):
    """Which part of the list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may be reported of an execution: the fields of the `execution` signal. A new one needs `workflow` and `status`."""

    id: SignalId | None = None
    workflow: str | None = None
    status: Status | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    trigger: str | None = None
    agent: str | None = None
    user: str | None = None
    session: str | None = None
    environment: str | None = None
    release: str | None = None
    parent_id: SignalId | None = None
    input: Any = None
    output: Any = None
    attributes: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class Reason(msgspec.Struct, frozen=True):
    """Why the command is given: up to 2,000 characters, handed to the client with it; may be empty."""

    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("executions")
    bp.get("/workflows", permission=VIEW)(list_workflows)
    bp.get("/executions", permission=VIEW, topics=TOPICS)(list_executions)
    bp.get("/executions/stats", permission=VIEW)(stats)
    bp.get("/executions/export.csv", permission=VIEW)(export)
    bp.post("/executions", permission=REPORT, status=201, documents=ExecutionReport)(create)
    bp.get("/executions/<path:execution_id>", permission=VIEW)(show)
    bp.patch("/executions/<path:execution_id>", permission=REPORT, documents=ExecutionReport)(change)
    bp.post("/executions/<path:execution_id>/cancel", permission=CHANGE)(cancel)
    bp.post("/executions/<path:execution_id>/rerun", permission=CHANGE, status=202)(rerun)
    return bp


def list_workflows(query: WorkflowQuery) -> Page[Workflow]:
    """List the workflows, the newest first."""
    found = queries.newest_workflows(query.limit, read_cursor(query.cursor) if query.cursor else None)
    rows, cursor = page_of(found, query.limit, lambda row: (row.created_at, row.id))
    return Page([Workflow(row.id, row.name, to_rfc3339(row.created_at)) for row in rows], cursor)


def list_executions(query: ListQuery) -> Page[ExecutionRecord]:
    """List executions, newest first."""
    after = read_cursor(query.cursor) if query.cursor else None
    found = queries.page(query.filters(), query.limit, after)
    rows, cursor = page_of(found, query.limit, lambda row: (row.sorted_at, row.id))
    return Page([ExecutionRecord(**execution_fields(row)) for row in rows], cursor)


def stats(query: StatsQuery) -> StatsRecord:
    """Figures of the executions that started in a period, exact to the minute."""
    period = read_period(query.range, query.since, query.until)
    filters = Filters(workflow=query.workflow, agent=query.agent, environment=query.environment)
    found = queries.stats(period, filters)
    return StatsRecord(
        found.total, found.by_status, found.success_rate, found.p50_ms, found.p95_ms, found.p99_ms, found.running
    )


def export(query: ListQuery) -> Response:
    """Stream the filtered list as CSV."""
    return csv_response("executions.csv", EXPORTED, _exported(queries.stream(query.filters())))


def show(execution_id: str) -> ExecutionDetail:
    """One execution with its steps, errors and token usage."""
    row = queries.get(execution_id)
    totals = queries.usage(execution_id)
    cancelled = queries.cancellation(execution_id) if row.status == "cancelled" else None
    return ExecutionDetail(
        **execution_fields(row),
        reason=(cancelled.reason or None) if cancelled else None,
        input=stored_json(row.input),
        output=stored_json(row.output),
        steps=[step_record(step) for step in queries.steps(execution_id)],
        errors=_errors(row),
        token_usage=usage_totals(totals) if totals else UsageTotals(),
    )


def create(body: dict[str, Any]) -> ExecutionDetail:
    """Report an execution: the fields of the `execution` signal, `id` optional.

    `started_at` and `finished_at` are filled in with the server's time where the status calls for them.
    """
    report = {**body, "id": make_id() if body.get("id") is None else body["id"]}
    _submit(_with_times(report))
    return show(str(report["id"]))


def change(execution_id: str, body: dict[str, Any]) -> ExecutionDetail:
    """Change an execution: any fields of the `execution` signal.

    What is given replaces what was reported, now and later; a final status is never undone.
    """
    row = queries.get(execution_id)
    if body.get("id", execution_id) != execution_id:
        raise Invalid.field("id", "cannot be changed")
    if "status" in body:
        body = _with_times(body, row.started_at, row.finished_at)
    known = {"workflow": row.workflow} if row.workflow is not None else {}
    status = "running" if row.status == "lost" else row.status
    _submit({**known, "status": status, **body, "id": execution_id}, edit=True)
    return show(execution_id)


def cancel(execution_id: str, body: Reason) -> ExecutionDetail:
    """Cancel an execution at once; its client is told with its next report. 409 where it is finished."""
    service.cancel(execution_id, body.reason, require(CHANGE))
    return show(execution_id)


def rerun(execution_id: str, body: Reason) -> CommandRecord:
    """Ask the client that reported an execution to run it again."""
    command = service.rerun(execution_id, body.reason, require(CHANGE))
    return CommandRecord(command.id, execution_id, command.command, command.reason, to_rfc3339(command.created_at))


def _with_times(body: dict[str, Any], started_at: int | None = None, finished_at: int | None = None) -> dict[str, Any]:
    """Fill in when it started and finished where the status says that it did, and nobody said when."""
    status = body.get("status")
    begun = isinstance(status, str) and status != "queued"
    filled = {}
    if begun and body.get("started_at") is None and started_at is None:
        filled["started_at"] = now()
    if begun and status in FINAL and body.get("finished_at") is None and finished_at is None:
        filled["finished_at"] = now()
    return {**body, **filled}


def _submit(body: dict[str, Any], *, edit: bool = False) -> None:
    """Send one execution through ingest, as every other source does. Raises Invalid with every wrong field."""
    principal = current_principal()
    items, outcome = runtime().reader.read_json(msgspec.json.encode({"signals": [{**body, "type": "execution"}]}))
    if not outcome.rejected:
        source = Source(principal.token_id if principal else None, "api", edit)
        outcome = runtime().ingest.submit(items, source, outcome)
    if outcome.rejected:
        errors = outcome.rejected[0].errors
        raise Invalid("; ".join(f"{error.path}: {error.message}" for error in errors), errors)


def _exported(rows: Iterator[Any]) -> Iterator[Sequence[Any]]:
    for row in rows:
        fields = execution_fields(row)
        yield [fields[name] for name in EXPORTED]


def _errors(run: Any) -> list[ErrorSummary]:
    """Return an execution's errors: as the plugin that keeps them answers them, else as they were counted here."""
    found = queries.errors(run.id)
    kept = runtime().registry.first("records", kind="errors", ids=[error.id for error in found]) if found else None
    fields = ErrorSummary.__struct_fields__
    records = {key: {name: getattr(record, name) for name in fields} for key, record in (kept or {}).items()}
    return [
        ErrorSummary(
            **records.get(error.id)
            or {
                "id": error.id, "execution_id": run.id, "workflow_id": run.workflow_id, "error_type": error.error_type,
                "message": error.message, "created_at": to_rfc3339(error.at),
            }
        )
        for error in found
    ]  # fmt: skip
