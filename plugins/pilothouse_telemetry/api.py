"""The HTTP endpoints of telemetry and analytics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from flask import Response

from pilothouse.sdk import (
    DAY,
    DEFAULT_LIMIT,
    ApiBlueprint,
    Invalid,
    Limit,
    Measure,
    Moment,
    Page,
    Period,
    csv_response,
    page_of,
    read_cursor,
    read_period,
    read_zone,
    to_rfc3339,
)
from pilothouse_telemetry import queries, trends
from pilothouse_telemetry.intervals import Buckets, buckets, read_interval, whole_minute
from pilothouse_telemetry.trends import Compare, Line, Question, Stat, Value

VIEW = "telemetry.analytics.view"
Top = Annotated[int, msgspec.Meta(ge=1, le=500)]


class PeriodQuery(msgspec.Struct, frozen=True):
    """A period of time; days follow the time zone `tz`."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    tz: str | None = None

    def period(self) -> Period:
        """Return the period; a relative one begins with a whole minute: figures are exact to the minute. Raises Invalid."""
        found = read_period(self.range, self.since, self.until)
        return found if self.since is not None else Period(whole_minute(found.since), found.until)


class TrendQuery(PeriodQuery, frozen=True, kw_only=True):
    """A measure over a period.

    `interval` is minute, 5m, 15m, 30m, hour, 2h, 3h, 6h, 12h, day, week or month, chosen by the period if left out. `by` is
    one of the measure's dimensions; the `top` largest series are listed, the rest is the series `(other)`. `filter` may
    repeat, as `workflow:nightly`; `workflow:` stands for what names none. `compare=previous` adds the period of the same
    length before, `compare=week` the same days of the week before. `stat` is what a distribution shows.
    """

    measure: str
    interval: str | None = None
    by: str | None = None
    filter: list[str] = []
    compare: Compare | None = None
    stat: Stat = "p95"
    top: Top = 50

    def question(self) -> Question:
        """Return what is asked. Raises Invalid for a measure, dimension, interval or zone that does not exist."""
        measure = trends.find_measure(self.measure)
        if self.by is not None and self.by not in measure.dimensions:
            raise Invalid.field("by", f"must be one of {', '.join(measure.dimensions) or 'none: the measure has no dimension'}")
        period, zone = self.period(), read_zone(self.tz)
        interval = read_interval(self.interval, period)
        where = _read_filters(self.filter, measure)
        span = buckets(period, interval, zone)
        back = None if self.compare is None else 7 * DAY if self.compare == "week" else period.length
        return Question(measure, span, interval, zone, self.by, back, where, self.stat, self.top)


def _read_filters(filters: list[str], measure: Measure) -> dict[str, str | None]:
    where: dict[str, str | None] = {}
    for place, text in enumerate(filters):
        name, colon, value = text.partition(":")
        if not colon or name not in measure.dimensions:
            raise Invalid.field(f"filter[{place}]", f"must be <dimension>:<value> with one of {', '.join(measure.dimensions)}")
        where[name] = value or None
    return where


class EventQuery(msgspec.Struct, frozen=True):
    """Filters of the list of events; `failed` keeps those that went wrong."""

    component: str | None = None
    failed: bool = False
    since: Moment | None = None
    until: Moment | None = None
    range: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None

    def filters(self) -> queries.Filters:
        """Return the filters. Raises Invalid."""
        since: int | None = self.since
        if self.range is not None:
            since = read_period(self.range, self.since, self.until).since
        return queries.Filters(self.component, self.failed, since, self.until)


class EventRecord(msgspec.Struct, frozen=True):
    """One event; durations in ms."""

    id: str
    name: str
    component: str | None
    user: str | None
    session: str | None
    duration_ms: float | None
    ok: bool | None
    at: str
    properties: Any


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a period. Shares are 0 to 1, null of nothing; percentiles in ms, within 2 %."""

    events: int
    users: int
    sessions: int
    errors: int
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class SummaryRecord(Figures, frozen=True, kw_only=True):
    """Figures of a period, and of the one of the same length before it."""

    previous: Figures


class ComponentRecord(msgspec.Struct, frozen=True):
    """Figures of one component; null is what names none."""

    component: str | None
    events: int
    users: int
    errors: int
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class MeasureRecord(msgspec.Struct, frozen=True):
    """A measure: `kind` is count, sum, distribution or distinct."""

    name: str
    title: str
    unit: str
    kind: str
    dimensions: list[str]


class Point(msgspec.Struct, frozen=True):
    """One bucket: its start, its figure, and whether all of its time counts."""

    at: str
    value: Value
    complete: bool


class SeriesRecord(msgspec.Struct, frozen=True):
    """One series: `key` is the dimension's value, null for what names none and for the whole."""

    key: str | None
    total: Value
    points: list[Point]


class TrendRecord(msgspec.Struct, frozen=True):
    """A measure over time; `previous` has the same keys and as many points, or is empty."""

    measure: str
    unit: str
    interval: str
    tz: str
    series: list[SeriesRecord]
    previous: list[SeriesRecord]


class PerformanceLine(msgspec.Struct, frozen=True):
    """How often something ran, the share that failed, percentiles of its duration in ms."""

    name: str | None
    count: int
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class PerformanceRecord(msgspec.Struct, frozen=True):
    """Performance by component of events and by workflow."""

    components: list[PerformanceLine]
    workflows: list[PerformanceLine]


class DayRecord(msgspec.Struct, frozen=True):
    """Active users of one local day."""

    at: str
    value: int


class EngagementRecord(msgspec.Struct, frozen=True):
    """Active users by day, in the 7 and the 30 days before the end; new and returning ones of the period.

    `stickiness` is the share of the month's users who were active on the last day.
    """

    daily: list[DayRecord]
    weekly: int
    monthly: int
    stickiness: float | None
    new: int
    returning: int


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("telemetry", title="Analytics")
    bp.get("/telemetry/summary", permission=VIEW)(summary)
    bp.get("/telemetry/components", permission=VIEW)(components)
    bp.get("/telemetry/events", permission=VIEW)(events)
    bp.get("/analytics/measures", permission=VIEW)(measures)
    bp.get("/analytics/trends", permission=VIEW)(trend)
    bp.get("/analytics/performance", permission=VIEW)(performance)
    bp.get("/analytics/engagement", permission=VIEW)(engagement)
    bp.get("/analytics/export.csv", permission=VIEW)(export)
    return bp


def summary(query: PeriodQuery) -> SummaryRecord:
    """Events, users, sessions, errors and durations of a period, and of the one before."""
    current, previous = (_figures(found) for found in queries.summaries(query.period()))
    return SummaryRecord(**current, previous=Figures(**previous))


def components(query: PeriodQuery) -> Page[ComponentRecord]:
    """Figures of each component in a period, the one with the most events first; all lines at once."""
    return Page([
        ComponentRecord(c.name, c.events, c.users, c.errors, c.error_rate, c.speed.p50_ms, c.speed.p95_ms, c.speed.p99_ms)
        for c in queries.components(query.period())
    ])  # fmt: skip


def events(query: EventQuery) -> Page[EventRecord]:
    """List events, newest first, `limit` a page; 422 for a cursor that is not of this list."""
    after = read_cursor(query.cursor) if query.cursor else None
    rows, cursor = page_of(queries.page(query.filters(), query.limit, after), query.limit, lambda row: (row.at, row.id))
    return Page([_event(row) for row in rows], cursor)


def measures() -> Page[MeasureRecord]:
    """List every plugin's measures with their units, kinds and dimensions."""
    return Page([MeasureRecord(m.name, m.title, m.unit, m.kind, list(m.dimensions)) for m in trends.measures()])


def trend(query: TrendQuery) -> TrendRecord:
    """Show a measure over time, by a dimension, beside an earlier period.

    The first and the last bucket count only what lies in the period; they say `complete: false`. The earlier period is cut
    at the same time of its own, so that an unfinished bucket is compared with as much of the earlier one. Values are null
    for a time that has not come and for percentiles of nothing; money is a decimal string in USD.
    """
    question = query.question()
    measure = question.measure
    series, *previous = [_series(span, lines) for span, lines in trends.trend(question)]
    shown = previous[0] if previous else []
    return TrendRecord(measure.name, measure.unit, question.interval.name, question.zone.key, series, shown)


def performance(query: PeriodQuery) -> PerformanceRecord:
    """Count, error rate and percentiles by component and by workflow."""
    period = query.period()
    return PerformanceRecord(
        [_line(c.name, c.events, c.error_rate, c.speed) for c in queries.components(period, users=False)],
        [_line(w.name, w.count, w.error_rate, w.speed) for w in queries.workflows(period)],
    )


def engagement(query: PeriodQuery) -> EngagementRecord:
    """Active users by day, week and month, stickiness, new and returning users, as of the end of the period."""
    found = queries.engagement(query.period(), read_zone(query.tz))
    daily = [DayRecord(to_rfc3339(at), number) for at, number in found.daily]
    return EngagementRecord(daily, found.weekly, found.monthly, found.stickiness, found.new, found.returning)


def export(query: TrendQuery) -> Response:
    """Stream a trend as CSV: the same figures as /api/analytics/trends, one line a point, the earliest first."""
    return csv_response("analytics.csv", ("at", "key", "value"), _exported(query.question()))


def _exported(question: Question) -> Iterator[tuple[str, str | None, Value]]:
    for at, key, value in trends.rows(question):
        yield to_rfc3339(at), key, value


def _series(span: Buckets, lines: list[Line]) -> list[SeriesRecord]:
    starts = [to_rfc3339(at) for at in span.starts]
    return [
        SeriesRecord(line.key, line.total, [Point(*point) for point in zip(starts, line.values, span.complete, strict=True)])
        for line in lines
    ]


def _figures(found: queries.Summary) -> dict[str, Any]:
    speed = found.speed
    return {
        "events": found.events, "users": found.users, "sessions": found.sessions, "errors": found.errors,
        "error_rate": found.error_rate, "p50_ms": speed.p50_ms, "p95_ms": speed.p95_ms, "p99_ms": speed.p99_ms,
    }  # fmt: skip


def _line(name: str | None, count: int, error_rate: float | None, speed: queries.Speed) -> PerformanceLine:
    return PerformanceLine(name, count, error_rate, speed.p50_ms, speed.p95_ms, speed.p99_ms)


def _event(row: Any) -> EventRecord:
    properties = None if row.properties is None else msgspec.Raw(row.properties.encode())
    return EventRecord(
        row.id, row.name, row.component, row.user, row.session, row.duration_ms, row.ok, to_rfc3339(row.at), properties
    )
