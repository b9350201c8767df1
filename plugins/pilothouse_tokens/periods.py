"""Calendar periods in a time zone: days, weeks and months as people live them, daylight saving included.

All moments are Unix milliseconds. A local midnight that a change of clocks leaves out is the moment of the change.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pilothouse.sdk import DAY, HOUR, MINUTE, Period, to_datetime

BudgetPeriod = Literal["day", "week", "month"]
Interval = Literal["minute", "hour", "day"]
MOST_BUCKETS = 1_000  # of one answer
MINUTES_UP_TO = 2 * HOUR
HOURS_UP_TO = 2 * DAY


def calendar_period(kind: BudgetPeriod, at: int, zone: ZoneInfo) -> Period:
    """Return the day, week (from Monday) or month in which a moment lies."""
    today = local_date(at, zone)
    if kind == "day":
        return Period(midnight(today, zone), midnight(today + timedelta(days=1), zone))
    if kind == "week":
        monday = today - timedelta(days=today.weekday())
        return Period(midnight(monday, zone), midnight(monday + timedelta(days=7), zone))
    first = today.replace(day=1)
    return Period(midnight(first, zone), midnight((first + timedelta(days=31)).replace(day=1), zone))


def local_date(at: int, zone: ZoneInfo) -> date:
    """Return the date that a moment has in a zone."""
    return to_datetime(at).astimezone(zone).date()


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return the moment at which a date begins in a zone."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


def interval_for(period: Period) -> Interval:
    """Return the interval that shows a period in some ten to a hundred buckets."""
    if period.length <= MINUTES_UP_TO:
        return "minute"
    return "hour" if period.length <= HOURS_UP_TO else "day"


def bucket_starts(period: Period, interval: Interval, zone: ZoneInfo) -> list[int]:
    """Return the starts of the buckets that cover a period; the first may lie before it, its sum does not."""
    if interval == "day":
        day, last = local_date(period.since, zone), local_date(period.until - 1, zone)
        return [midnight(day + timedelta(days=n), zone) for n in range((last - day).days + 1)]
    size = MINUTE if interval == "minute" else HOUR
    shift = _offset(period.since, zone) % size  # an hour of a zone such as Asia/Kolkata begins at half past
    first = (period.since + shift) // size * size - shift
    return list(range(first, period.until, size))


def bucket_end(at: int, interval: Interval, zone: ZoneInfo) -> int:
    """Return where the bucket that starts at a moment ends."""
    if interval == "day":
        return midnight(local_date(at, zone) + timedelta(days=1), zone)
    return at + (MINUTE if interval == "minute" else HOUR)


def _offset(at: int, zone: ZoneInfo) -> int:
    offset = to_datetime(at).astimezone(zone).utcoffset() or timedelta()
    return round(offset.total_seconds()) * 1000
