"""Reading telemetry: what happened in a period, by component, by workflow, and who took part. Roll-ups only, but for events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from sqlalchemy import false, func, select, tuple_

from pilothouse.sdk import DAY, Ask, Measure, Period, Sum, Values, db, read_all
from pilothouse_telemetry.counting import COUNT, DURATION, FAILED, MICROSECONDS, SESSIONS, USERS
from pilothouse_telemetry.intervals import Interval, edges, whole_minute
from pilothouse_telemetry.models import MONDAY, WEEK, ChartMark, EventUser, EventUserWeek, TelemetryEvent, week_of
from pilothouse_telemetry.trends import measures

FAILURES = frozenset({"failed", "timed_out"})  # statuses that count as an error
ENDED = frozenset({"succeeded", "failed", "timed_out", "cancelled", "lost"})  # the others may still become anything


@dataclass(frozen=True, slots=True)
class Speed:
    """Percentiles of durations in ms; None where nothing was timed."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Events of a period: how many, by how many users in how many sessions, how many went wrong, how long they took."""

    events: int
    users: int
    sessions: int
    errors: int
    error_rate: float | None
    speed: Speed


@dataclass(frozen=True, slots=True)
class Component:
    """Events of one component in a period."""

    name: str | None
    events: int
    users: int
    errors: int
    speed: Speed

    @property
    def error_rate(self) -> float | None:
        """The share of events that went wrong."""
        return share(self.errors, self.events)


@dataclass(frozen=True, slots=True)
class Performance:
    """How often something ran, how much of what ended failed, how long it took."""

    name: str | None
    count: int
    error_rate: float | None
    speed: Speed


def share(part: int, whole: int) -> float | None:
    """Return a share of 0 to 1; None of nothing."""
    return part / whole if whole > 0 else None


def speed_of(found: Sum | None, scale: int = MICROSECONDS) -> Speed:
    """Return percentiles of durations of which `scale` make a millisecond."""
    if found is None or found.sketch is None:
        return Speed()
    p50, p95, p99 = (None if v is None else round(v / scale, 3) for v in found.sketch.percentiles(0.5, 0.95, 0.99))
    return Speed(p50, p95, p99)


def summaries(period: Period) -> tuple[Summary, Summary]:
    """Return the summaries of a period and of the one of the same length before it, from one read."""
    bounds = (period.before().since, period.since, period.until)
    answers = read_all([Ask(COUNT, bounds, ("ok",)), *(Ask(name, bounds, ()) for name in (DURATION, USERS, SESSIONS))])
    before, now_ = (_summary(*(answer[place] for answer in answers)) for place in (0, 1))
    return now_, before


def _summary(
    counts: Mapping[Values, Sum], durations: Mapping[Values, Sum], users: Mapping[Values, Sum], sessions: Mapping[Values, Sum]
) -> Summary:
    events = sum(found.count for found in counts.values())
    errors = counts.get((FAILED,), Sum()).count
    return Summary(
        events, users.get((), Sum()).distinct, sessions.get((), Sum()).distinct, errors, share(errors, events),
        speed_of(durations.get(())),
    )  # fmt: skip


def components(period: Period, *, users: bool = True) -> list[Component]:
    """Return each component's figures, the one with the most events first; None is what names none.

    Counting different users is most of the work: it is left out where nobody looks at them.
    """
    ends = _ends(period)
    asks = [Ask(COUNT, ends, ("component", "ok")), Ask(DURATION, ends, ("component",))]
    asks += [Ask(USERS, ends, ("component",))] if users else []
    counts, durations, *rest = (answer[0] for answer in read_all(asks))
    seen = rest[0] if rest else {}
    events: dict[str | None, int] = {}
    errors: dict[str | None, int] = {}
    for (name, ok), found in counts.items():
        events[name] = events.get(name, 0) + found.count
        errors[name] = errors.get(name, 0) + (found.count if ok == FAILED else 0)
    lines = [
        Component(name, number, seen.get((name,), Sum()).distinct, errors[name], speed_of(durations.get((name,))))
        for name, number in events.items()
    ]
    return sorted(lines, key=lambda line: (-line.events, line.name or ""))


@dataclass(slots=True)
class _Runs:
    count: int = 0
    ended: int = 0
    failed: int = 0
    durations: Sum = field(default_factory=Sum)


def workflows(period: Period) -> list[Performance]:
    """Return how each workflow performed, the one that ran most first.

    From the measures of any plugin that counts by `workflow` and `status` and times by `workflow` under the same scope: what
    stands before the first dot of their names. A failure is `failed` or `timed_out`, its share is of all that ended.
    """
    counting, timing = _workflow_measures()
    ends = _ends(period)
    asks = [Ask(m.name, ends, ("workflow", "status")) for m in counting] + [Ask(m.name, ends, ("workflow",)) for m in timing]
    answers = [answer[0] for answer in read_all(asks)] if asks else []
    runs: dict[str | None, _Runs] = {}
    for answer in answers[: len(counting)]:
        for (name, status), found in answer.items():
            line = runs.setdefault(name, _Runs())
            line.count += found.count
            line.ended += found.count if status in ENDED else 0
            line.failed += found.count if status in FAILURES else 0
    for answer in answers[len(counting) :]:
        for (name,), found in answer.items():
            runs.setdefault(name, _Runs()).durations.merge(found)
    scale = timing[0].scale if timing else 1
    lines = [
        Performance(name, line.count, share(line.failed, line.ended), speed_of(line.durations, scale))
        for name, line in runs.items()
        if line.count
    ]
    return sorted(lines, key=lambda line: (-line.count, line.name or ""))


def _workflow_measures() -> tuple[list[Measure], list[Measure]]:
    """Return the measures that count runs of workflows, and those of the same scopes that time them."""
    having = [measure for measure in measures() if "workflow" in measure.dimensions]
    counting = [m for m in having if m.kind == "count" and "status" in m.dimensions]
    scopes = {m.name.partition(".")[0] for m in counting}
    timing = [m for m in having if m.kind == "distribution" and m.unit == "ms" and m.name.partition(".")[0] in scopes]
    return counting, timing


@dataclass(frozen=True, slots=True)
class Engagement:
    """Who took part: active users a local day, in the last 7 and 30 days, who came first in the period and who came again.

    `stickiness` is the share of the month's users who were active on the last day.
    """

    daily: list[tuple[int, int]]
    weekly: int
    monthly: int
    stickiness: float | None
    new: int
    returning: int


def engagement(period: Period, zone: ZoneInfo) -> Engagement:
    """Return who took part, as of the period's end; its first day counts from midnight."""
    starts, bounds = _days(period, zone)
    until = period.until
    week, month = (whole_minute(until - days * DAY) for days in (7, 30))
    asks = [Ask(USERS, ends, ()) for ends in (bounds, (week, until), (month, until), _ends(period))]
    days, *others = read_all(asks)
    daily = [(at, day.get((), Sum()).distinct) for at, day in zip(starts, days, strict=True)]
    weekly, monthly, active = (answer[0].get((), Sum()).distinct for answer in others)
    new = _new_users(period)
    return Engagement(daily, weekly, monthly, share(daily[-1][1], monthly), new, max(active - new, 0))


def _days(period: Period, zone: ZoneInfo) -> tuple[list[int], list[int]]:
    day = Interval("day", DAY, "day")
    first = edges(period, day, zone)
    return first[:-1], [*first[:-1], period.until]


def _new_users(period: Period) -> int:
    where = (EventUser.first_at >= period.since, EventUser.first_at < period.until)
    return int(db.session().scalar(select(func.count()).select_from(EventUser).where(*where)) or 0)


@dataclass(frozen=True, slots=True)
class Cohort:
    """The people who came first in one week (its start in ms, Monday 00:00 UTC) and how many of them were active in it and
    in each week since.
    """

    week: int
    active: list[int]

    @property
    def size(self) -> int:
        """How many they are."""
        return self.active[0] if self.active else 0


def retention(until: int, weeks: int) -> list[Cohort]:
    """Return the cohorts of the last weeks, the oldest first."""
    last = week_of(until - 1)
    first = last - (weeks - 1) * WEEK
    came = EventUser.first_at - (EventUser.first_at - MONDAY) % WEEK
    statement = select(came, EventUserWeek.week, func.count()).join(EventUser, EventUser.name == EventUserWeek.name)
    statement = statement.where(EventUserWeek.week >= first, EventUserWeek.week <= last, EventUser.first_at >= first)
    found = db.session().execute(statement.group_by(came, EventUserWeek.week))
    counts = {(cohort, week): number for cohort, week, number in found}
    return [
        Cohort(cohort, [counts.get((cohort, week), 0) for week in range(cohort, last + 1, WEEK)])
        for cohort in range(first, last + 1, WEEK)
    ]


def marks(period: Period, most: int) -> list[ChartMark]:
    """Return what charts of a period mark, the newest first."""
    statement = select(ChartMark).where(ChartMark.at >= period.since, ChartMark.at < period.until)
    return list(db.session().scalars(statement.order_by(ChartMark.at.desc(), ChartMark.id).limit(most)))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events; times in ms, `since` inclusive, `until` exclusive."""

    component: str | None = None
    failed: bool = False
    since: int | None = None
    until: int | None = None


def page(filters: Filters, limit: int, after: tuple[int, str] | None = None) -> list[TelemetryEvent]:
    """Return up to `limit + 1` events, newest first, after the cursor."""
    statement = select(TelemetryEvent).order_by(TelemetryEvent.at.desc(), TelemetryEvent.id.desc()).limit(limit + 1)
    if filters.component is not None:
        statement = statement.where(TelemetryEvent.component == filters.component)
    if filters.failed:
        statement = statement.where(TelemetryEvent.ok == false())
    if filters.since is not None:
        statement = statement.where(TelemetryEvent.at >= filters.since)
    if filters.until is not None:
        statement = statement.where(TelemetryEvent.at < filters.until)
    if after is not None:
        statement = statement.where(tuple_(TelemetryEvent.at, TelemetryEvent.id) < after)
    return list(db.session().scalars(statement))


def _ends(period: Period) -> tuple[int, int]:
    return period.since, period.until
