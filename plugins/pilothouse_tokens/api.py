"""The HTTP endpoints of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from flask import Response

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    ApiBlueprint,
    Invalid,
    Limit,
    Moment,
    Page,
    csv_response,
    page_of,
    read_cursor,
    read_period,
    read_zone,
    to_rfc3339,
    to_usd,
)
from pilothouse_tokens import budget_api, price_api, queries, recommending
from pilothouse_tokens.models import Recommendation, TokenUsageRow
from pilothouse_tokens.periods import MOST_BUCKETS, Interval, bucket_end, bucket_starts, interval_for
from pilothouse_tokens.permissions import PRICES, VIEW
from pilothouse_tokens.queries import Totals

MOST_LINES = 500  # of a breakdown; the rest is one line
EXPORTED = (
    "day", "model", "workflow", "calls", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens",
    "cache_write_tokens", "reasoning_tokens", "cost_usd", "unpriced_records",
)  # fmt: skip

Top = Annotated[int, msgspec.Meta(ge=1, le=MOST_LINES)]
By = Literal["model", "provider", "agent", "workflow", "user", "key", "day"]


class PeriodQuery(msgspec.Struct, frozen=True):
    """The period, and the time zone of its buckets; `interval` follows from the length of the period if left out."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    tz: str | None = None
    interval: Interval | None = None


class BreakdownQuery(msgspec.Struct, frozen=True):
    """The period, and the dimension to break it down by; of many values the `top` dearest are told apart."""

    by: By = "model"
    top: Top = MOST_LINES
    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    tz: str | None = None


class RecordsQuery(msgspec.Struct, frozen=True):
    """Which calls; `without` names dimensions that they have no value of, and may repeat."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    model: str | None = None
    provider: str | None = None
    agent: str | None = None
    workflow: str | None = None
    user: str | None = None
    key: str | None = None
    without: list[Literal["provider", "agent", "workflow", "user", "key"]] = []
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None

    def where(self) -> dict[str, str | None]:
        """Return the wanted values by dimension."""
        named = {name: getattr(self, name) for name in queries.DIMENSIONS}
        return {name: value for name, value in named.items() if value is not None} | dict.fromkeys(self.without)


class TotalsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What calls add up to; `cost_usd` is null where none of them has a price."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: str | None
    unpriced_records: int


class SeriesPoint(TotalsRecord, frozen=True, kw_only=True):
    """The totals of one bucket; `at` is its start, `complete` is false where the period holds only a part of it."""

    at: str
    complete: bool


class BreakdownLine(TotalsRecord, frozen=True, kw_only=True):
    """The totals of one value; `share` is its part of the cost, of the tokens where nothing is priced."""

    key: str | None
    share: float


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A period, the one before it and its series."""

    totals: TotalsRecord
    previous: TotalsRecord
    series: list[SeriesPoint]
    since: str
    until: str
    interval: str
    tz: str


class Breakdown(msgspec.Struct, frozen=True):
    """All lines at once, the dearest first, days the newest first. The line `(other)` is what is beyond the `top` dearest."""

    data: list[BreakdownLine]


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One model call; `price_id` is null where the source reported the cost, or nothing prices the model."""

    id: str
    execution_id: str | None
    workflow_id: str | None
    workflow: str | None
    agent_id: str | None
    user: str | None
    key_id: str | None
    provider: str | None
    model: str
    request_model: str | None
    response_id: str | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    split_known: bool
    usage_source: str
    latency_ms: float | None
    cost_usd: str | None
    cost_reported: str | None
    price_id: str | None
    created_at: str


class RecommendationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A way to spend less: what it would have saved in the last 7 days, and up to 100 executions that prove it.

    `kind` is `cheaper_model`, `prompt_caching`, `retry_waste`, `oversized_context` or `failed_calls`.
    """

    id: str
    kind: str
    title: str
    detail: str
    saving_usd: str
    calls: int
    executions: list[str]
    found_at: str


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("tokens")
    bp.get("/tokens/usage", permission=VIEW)(usage)
    bp.get("/tokens/breakdown", permission=VIEW)(breakdown)
    bp.get("/tokens/records", permission=VIEW)(list_records)
    bp.get("/tokens/export.csv", permission=VIEW)(export)
    price_api.add_routes(bp)
    budget_api.add_routes(bp)
    bp.get("/tokens/recommendations", permission=VIEW)(list_recommendations)
    bp.post("/tokens/recommendations/<recommendation_id>/dismiss", permission=PRICES)(dismiss_recommendation)
    return bp


def usage(query: PeriodQuery) -> UsageRecord:
    """Token usage of a period, of the one before it, and its series; from roll-ups, exact to the minute."""
    period, zone = read_period(query.range, query.since, query.until), read_zone(query.tz)
    interval = query.interval or interval_for(period)
    starts = bucket_starts(period, interval, zone)
    if len(starts) > MOST_BUCKETS:
        raise Invalid.field("interval", f"makes {len(starts)} buckets of this period; {MOST_BUCKETS} is the most")
    found = queries.usage(period, interval, zone)
    return UsageRecord(
        totals=TotalsRecord(**sums_of(found.totals)),
        previous=TotalsRecord(**sums_of(found.previous)),
        series=[
            SeriesPoint(
                at=to_rfc3339(at), complete=at >= period.since and bucket_end(at, interval, zone) <= period.until,
                **sums_of(line),
            )
            for at, line in found.series
        ],
        since=to_rfc3339(period.since), until=to_rfc3339(period.until), interval=interval, tz=zone.key,
    )  # fmt: skip


def breakdown(query: BreakdownQuery) -> Breakdown:
    """Token usage of a period by model, provider, agent, workflow, user, key (the id of the vault's key) or day."""
    period, zone = read_period(query.range, query.since, query.until), read_zone(query.tz)
    lines: Sequence[tuple[str | None, Totals]]
    lines = queries.by_day(period, zone) if query.by == "day" else queries.breakdown(period, query.by, query.top)
    return Breakdown([BreakdownLine(key=key, share=share, **sums_of(line)) for key, line, share in shares(lines)])


def list_records(query: RecordsQuery) -> Page[CallRecord]:
    """List the calls behind a figure, newest first."""
    period = read_period(query.range, query.since, query.until)
    after = read_cursor(query.cursor) if query.cursor else None
    rows, cursor = page_of(queries.calls(period, query.where(), query.limit, after), query.limit, lambda r: (r.at, str(r.seq)))
    return Page([call_record(row) for row in rows], cursor)


def export(query: PeriodQuery) -> Response:
    """Stream a period by local day, model and workflow as CSV; its sums are those of the other endpoints."""
    period, zone = read_period(query.range, query.since, query.until), read_zone(query.tz)
    return csv_response("tokens.csv", EXPORTED, _exported(queries.export(period, zone)))


def list_recommendations() -> Page[RecommendationRecord]:
    """List ways to spend less, each with the executions that prove it; looked for every minute in the last 7 days."""
    return Page([recommendation_record(found) for found in recommending.current()])


def dismiss_recommendation(recommendation_id: str) -> RecommendationRecord:
    """Hide a recommendation for good."""
    return recommendation_record(recommending.dismiss(recommendation_id))


def recommendation_record(found: Recommendation) -> RecommendationRecord:
    """Return the record of a recommendation."""
    return RecommendationRecord(
        id=found.id, kind=found.kind, title=found.title, detail=found.detail, saving_usd=to_usd(found.saving_nano),
        calls=found.calls, executions=msgspec.json.decode(found.executions, type=list[str]),
        found_at=to_rfc3339(found.found_at),
    )  # fmt: skip


def sums_of(line: Totals) -> dict[str, Any]:
    """Return totals as every answer shows them."""
    return {
        "calls": line.calls,
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.completion_tokens,
        "total_tokens": line.total_tokens,
        "cached_tokens": line.cached_tokens,
        "cache_write_tokens": line.cache_write_tokens,
        "reasoning_tokens": line.reasoning_tokens,
        "cost_usd": None if line.cost is None else to_usd(line.cost),
        "unpriced_records": line.unpriced_records,
    }


def shares(lines: Sequence[tuple[str | None, Totals]]) -> Iterator[tuple[str | None, Totals, float]]:
    """Yield each line with its part, 0 to 1, of the cost; of the tokens where nothing is priced."""
    cost = sum(line.cost_nano for _, line in lines)
    tokens = sum(line.total_tokens for _, line in lines)
    for key, line in lines:
        part, whole = (line.cost_nano, cost) if cost else (line.total_tokens, tokens)
        yield key, line, part / whole if whole else 0.0


def call_record(row: TokenUsageRow) -> CallRecord:
    """Return the record of one call."""
    same = ("id", "execution_id", "workflow_id", "workflow", "user", "key_id", "provider", "model", "request_model",
            "response_id", "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
            "split_known", "usage_source", "latency_ms", "price_id")  # fmt: skip
    return CallRecord(
        **{name: getattr(row, name) for name in same},
        agent_id=row.agent,
        total_tokens=row.prompt_tokens + row.completion_tokens,
        cost_usd=None if row.cost_nano is None else to_usd(row.cost_nano),
        cost_reported=None if row.cost_reported is None else to_usd(row.cost_reported),
        created_at=to_rfc3339(row.at),
    )


def _exported(lines: Iterator[tuple[str, str | None, str | None, Totals]]) -> Iterator[Sequence[Any]]:
    for day, model, workflow, line in lines:
        fields = {"day": day, "model": model, "workflow": workflow, **sums_of(line)}
        yield [fields[name] for name in EXPORTED]
