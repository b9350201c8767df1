"""When a scheduled job is due: crontab lines and intervals, on the clock of the job's own time zone.

https://develop.sentry.dev/sdk/telemetry/check-ins/. Crontab lines are read as Debian's cron reads them, which Sentry's own
server does too (cronsim): a time that summer time leaves out comes when the clock has moved, one that comes twice comes once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from pilothouse.sdk import MINUTE, to_datetime
from pilothouse_sentry.values import Json, an_object, text_of, whole

MARGIN_MIN = 1  # minutes after which a job that did not start is missed, where its monitor does not say
RUNTIME_MIN = 30  # minutes after which a job is timed out, where its monitor does not say
LONGEST_MIN = 40_320  # four weeks, the longest margin and run time that Sentry takes
MOST_UNITS = 10_000
EARLY = MINUTE  # clocks differ by so much, or by a quarter of the time between two runs
FIELDS = 5  # of a crontab line; a sixth would be seconds
_NICKNAMES = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
_UNITS = {
    "minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1),
}  # fmt: skip
_EXACT = ("minute", "hour")  # units that no change of the clock makes longer or shorter
_MONTHS = {"month": 1, "year": 12}


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a job is due, and how late (ms) it may start and how long (ms) run. One of `crontab` and `unit` is set."""

    crontab: str = ""
    every: int = 0
    unit: str = ""
    timezone: str = "UTC"
    margin: int = MARGIN_MIN * MINUTE
    max_runtime: int = RUNTIME_MIN * MINUTE

    def in_words(self) -> str:
        """Say when the job is due, but for the time zone."""
        if self.crontab:
            return self.crontab
        return f"every {self.unit}" if self.every == 1 else f"every {self.every:,} {self.unit}s"

    def after(self, at: int) -> int | None:
        """Return the first moment (ms) after `at` at which the job is due; for intervals `at` is when it ran."""
        moment = to_datetime(at).astimezone(_zone(self.timezone))
        try:
            return _millis(next(CronSim(self.crontab, moment)) if self.crontab else _later(moment, self.every, self.unit))
        except (CronSimError, StopIteration, OverflowError, ValueError):
            return None  # there is no such day, or not within the years that are

    def after_start(self, begun: int) -> int | None:
        """Return when the job is due after a run that started at `begun`: one just before its time is that time's run."""
        due = self.after(begun)
        following = self.after(due) if self.crontab and due is not None else None
        if due is None or following is None:
            return due
        return following if due - begun <= min(EARLY, (following - due) // 4) else due

    def after_missing(self, due: int, now: int) -> int | None:
        """Return the first due moment after `now`, where the one at `due` was missed: one miss stands for all until then."""
        if self.crontab:
            return self.after(now)
        following: int | None = due
        if self.unit in _EXACT:
            length = int(_UNITS[self.unit].total_seconds() * 1_000) * self.every
            following = due + max(now - due, 0) // length * length
        while following is not None and following <= now:
            following = self.after(following)
        return following


def read(config: object) -> Schedule | None:
    """Read a check-in's `monitor_config`; None where it says nothing that a job could be expected by."""
    told = an_object(config)
    schedule = an_object(told.get("schedule"))
    value = schedule.get("value")
    common: Json = {
        "timezone": _known_zone(text_of(told.get("timezone"))),
        "margin": _minutes(told.get("checkin_margin"), MARGIN_MIN),
        "max_runtime": _minutes(told.get("max_runtime"), RUNTIME_MIN),
    }
    if schedule.get("type") == "crontab" and isinstance(value, str):
        line = _NICKNAMES.get(value.strip().lower(), value.strip())
        found = Schedule(crontab=line, **common) if len(line.split()) == FIELDS else None
    else:
        every, unit = whole(value), text_of(schedule.get("unit")) or ""
        known = schedule.get("type") == "interval" and (unit in _UNITS or unit in _MONTHS)
        found = Schedule(every=every, unit=unit, **common) if known and every and every <= MOST_UNITS else None
    return found if found is not None and found.after(0) is not None else None


def _minutes(value: object, default: int) -> int:
    found = whole(value)
    return min(found if found is not None and found > 0 else default, LONGEST_MIN) * MINUTE


def _known_zone(name: str | None) -> str:
    return name if name is not None and _zone(name).key == name else "UTC"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _later(moment: datetime, every: int, unit: str) -> datetime:
    """Add an interval on the clock of the time zone: a day later is the same hour, also where the clock is changed."""
    if unit in _MONTHS:
        months = moment.year * 12 + moment.month - 1 + every * _MONTHS[unit]
        last = (datetime(months // 12 + (months % 12 == 11), (months + 1) % 12 + 1, 1, tzinfo=UTC) - timedelta(days=1)).day  # noqa: PLR2004 - December
        return moment.replace(year=months // 12, month=months % 12 + 1, day=min(moment.day, last))
    step = _UNITS[unit] * every
    if unit in _EXACT:
        return (moment.astimezone(UTC) + step).astimezone(moment.tzinfo)
    return moment + step


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
