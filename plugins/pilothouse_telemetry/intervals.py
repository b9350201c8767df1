"""Buckets of time on the calendar of a time zone: minutes, hours, days, weeks and months, over changes of the clock.

Days begin at local midnight, so a day in spring has 23 hours and one in autumn 25. Steps up to an hour count on from
midnight in true time; longer ones follow the clock on the wall.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pilothouse.sdk import DAY, HOUR, MINUTE, Invalid, Period, now, to_datetime

MOST_POINTS = 10_000  # of one series: some 400 kB of JSON
ALIASES = {
    "1m": "minute", "60m": "hour", "1h": "hour", "24h": "day", "1d": "day", "7d": "week", "1w": "week",
}  # fmt: skip
STEPS = {
    "minute": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "hour": HOUR, "2h": 2 * HOUR, "3h": 3 * HOUR,
    "6h": 6 * HOUR, "12h": 12 * HOUR,
}  # fmt: skip
CALENDAR = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY}
CHOSEN = ((3 * HOUR, "minute"), (2 * DAY, "hour"), (100 * DAY, "day"))  # what is taken up to a length, if nothing is named


@dataclass(frozen=True, slots=True)
class Interval:
    """The width of a bucket: a step of ms within days, or a unit of the calendar."""

    name: str
    step: int
    unit: Literal["step", "day", "week", "month"]


def read_interval(name: str | None, period: Period) -> Interval:
    """Return the interval that a request names, or one that fits the period. Raises Invalid."""
    if not name:
        name = next((chosen for longest, chosen in CHOSEN if period.length <= longest), "week")
    name = ALIASES.get(name, name)
    if name in STEPS:
        interval = Interval(name, STEPS[name], "step")
    elif name in CALENDAR:
        interval = Interval(name, CALENDAR[name], name)  # type: ignore[arg-type]  # its unit is its name
    else:
        raise Invalid.field("interval", f"must be one of {', '.join((*STEPS, *CALENDAR))}")
    if period.length / interval.step > MOST_POINTS:
        raise Invalid.field("interval", f"makes more than {MOST_POINTS:,} points; choose a longer one")
    return interval


def edges(period: Period, interval: Interval, zone: ZoneInfo) -> list[int]:
    """Return the ascending edges (ms) of the buckets that cover a period: the first may lie before it, the last after."""
    found: list[int] = []
    for edge in _edges(to_datetime(period.since).astimezone(zone).date(), interval, zone):
        if found and edge <= found[-1]:
            continue  # the clock was set back over this edge
        found.append(edge)
        if edge >= period.until:
            break
    return found[bisect_right(found, period.since) - 1 :]


def _edges(day: date, interval: Interval, zone: ZoneInfo) -> Iterator[int]:
    """Yield edges for ever, from one at or before the start of a local day."""
    if interval.unit == "week":
        day -= timedelta(days=day.weekday())
    elif interval.unit == "month":
        day = day.replace(day=1)
    while True:
        following = _next(day, interval)
        yield midnight(day, zone)
        if interval.unit == "step":
            yield from _within(day, following, interval.step, zone)
        day = following


def _next(day: date, interval: Interval) -> date:
    if interval.unit == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if interval.unit == "week" else 1)


def _within(day: date, following: date, step: int, zone: ZoneInfo) -> Iterator[int]:
    if step <= HOUR:
        yield from range(midnight(day, zone) + step, midnight(following, zone), step)
        return
    for hour in range(step // HOUR, 24, step // HOUR):
        yield _instant(datetime.combine(day, time(hour), zone))


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return when a local day begins (ms); where the clock jumps over midnight, when it jumps."""
    return _instant(datetime.combine(day, time(), zone))


def shifted(at: int, days: int, zone: ZoneInfo) -> int:
    """Return the moment so many local days earlier, at the same time on the wall."""
    local = to_datetime(at).astimezone(zone)
    return _instant((local.replace(tzinfo=None) - timedelta(days=days)).replace(tzinfo=zone, fold=local.fold))


def whole_minute(at: int) -> int:
    """Return the first start of a minute (ms) that is not before a moment."""
    return -(-at // MINUTE) * MINUTE


def _instant(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a period: where each is drawn, and from when until when it counts.

    `bounds` are the edges cut to the period. `complete` says which buckets count all of their time.
    """

    starts: tuple[int, ...]
    bounds: tuple[int, ...]
    complete: tuple[bool, ...]

    @property
    def period(self) -> Period:
        """What the buckets cover."""
        return Period(self.bounds[0], self.bounds[-1])


def buckets(period: Period, interval: Interval, zone: ZoneInfo) -> Buckets:
    """Return the buckets of a period."""
    found = edges(period, interval, zone)
    bounds = [period.since, *found[1:-1], min(found[-1], period.until)]
    whole = [min(period.until, now()) >= edge for edge in found[1:]]
    whole[0] = whole[0] and found[0] == period.since
    return Buckets(tuple(found[:-1]), tuple(bounds), tuple(whole))


def earlier(current: Buckets, length: int, zone: ZoneInfo) -> Buckets:
    """Return the buckets to compare with: as many, `length` ms earlier, cut at the same time of theirs.

    A length of whole days, be they of 24 hours or local ones, moves by local days, so that midnight stays midnight over a
    change of the clock. A bucket that the change leaves without a counterpart is empty: its bounds are the same. Where the
    period ends now, its last minute counts whole though it still runs, and so does the last one of the earlier period.
    """
    days = _whole_days(current.period, length, zone)

    def moved(at: int) -> int:
        return shifted(at, days, zone) if days else at - length

    bounds: list[int] = []
    for at in map(moved, current.bounds):
        bounds.append(max(at, bounds[-1]) if bounds else at)
    if current.bounds[-1] > now() - MINUTE:
        bounds[-1] = whole_minute(bounds[-1])
    return Buckets(tuple(map(moved, current.starts)), tuple(bounds), current.complete)


def _whole_days(period: Period, length: int, zone: ZoneInfo) -> int:
    """Return how many local days a length is; 0 where it is not made of whole ones."""
    if length % DAY and length == period.length:
        since, until = (to_datetime(at).astimezone(zone).replace(tzinfo=None) for at in (period.since, period.until))
        length = round((until - since).total_seconds() * 1000)
    return length // DAY if length % DAY == 0 else 0
