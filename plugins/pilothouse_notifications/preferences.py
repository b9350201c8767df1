"""What people chose: which categories reach them by which channel, quiet hours, digest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import delete, select

from pilothouse.sdk import (
    HOUR,
    Bulk,
    FieldError,
    Invalid,
    NotificationCategory,
    Role,
    db,
    insert_ignore,
    to_datetime,
    unit_of_work,
)
from pilothouse_notifications import categories
from pilothouse_notifications.models import Preference, Schedule

CHANNELS = ("in_app", "email")
DIGESTS = ("off", "hourly", "daily")
DIGEST_HOUR = 8  # local; the mail of the day is there when work begins
CLOCK = r"([01]\d|2[0-3]):([0-5]\d)"
# another window of the same person may write the same row at the same time
_KEEP = Bulk(
    Preference.__table__, ("user_id", "category", "channel", "enabled"),
    on_conflict="(user_id, category, channel) DO UPDATE SET enabled = excluded.enabled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choices:
    """One person's choices; a group that is off takes all its categories along."""

    chosen: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    quiet_from: int | None = None
    quiet_to: int | None = None
    tz: str = "UTC"
    digest: str = "off"

    def wants(self, category: NotificationCategory, channel: str) -> bool:
        """Say whether the person is told of the category by the channel."""
        if not self.chosen.get((category.group, channel), True):
            return False
        return self.chosen.get((category.name, channel), category.on_by_default)

    def muted(self, category: NotificationCategory, channel: str) -> bool:
        """Say whether the person switched it off, rather than that it is off by default."""
        chosen = self.chosen
        return not chosen.get((category.group, channel), True) or not chosen.get((category.name, channel), True)

    def mail_at(self, at: int, *, urgent: bool = False) -> tuple[int, str | None]:
        """Return when a mail of the moment `at` (ms) may go, and what it waits for until then."""
        if urgent:
            return at, None
        local = to_datetime(at).astimezone(ZoneInfo(self.tz))
        if self.digest == "daily":
            return _millis(_next(local, DIGEST_HOUR * 60)), "It waits for the daily digest."
        waits = None
        if self.digest == "hourly":
            at, waits = at + _to_the_hour(local), "It waits for the hourly digest."
            local = to_datetime(at).astimezone(ZoneInfo(self.tz))
        if self._is_quiet(local.hour * 60 + local.minute) and self.quiet_to is not None:
            return _millis(_next(local, self.quiet_to)), "It waits for the end of the quiet hours."
        return at, waits

    def _is_quiet(self, minute: int) -> bool:
        if self.quiet_from is None or self.quiet_to is None:
            return False
        if self.quiet_from <= self.quiet_to:
            return self.quiet_from <= minute < self.quiet_to
        return minute >= self.quiet_from or minute < self.quiet_to


def _next(local: datetime, minute: int) -> datetime:
    """Return the next moment at which it is that minute of the day, also where clocks change in between."""
    day = local.date()
    moment = datetime.combine(day, time(minute // 60, minute % 60), local.tzinfo)
    if moment <= local:
        moment = datetime.combine(day + timedelta(days=1), time(minute // 60, minute % 60), local.tzinfo)
    return moment


def _to_the_hour(local: datetime) -> int:
    """Return how many ms there are until the next full hour of the local clock; some zones are half an hour off."""
    return HOUR - (local.minute * 60_000 + local.second * 1_000 + local.microsecond // 1_000)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def of_people(user_ids: Iterable[str], names: Iterable[str] | None = None) -> dict[str, Choices]:
    """Return the choices of people by id; those who chose nothing are left out. `names` limits to categories and groups."""
    ids = list(user_ids)
    session = db.session()
    chosen: dict[str, dict[tuple[str, str], bool]] = {}
    statement = select(Preference).where(Preference.user_id >= min(ids), Preference.user_id <= max(ids)) if ids else None
    if statement is not None:
        if names is not None:
            statement = statement.where(Preference.category.in_(list(names)))
        for row in session.scalars(statement):
            chosen.setdefault(row.user_id, {})[row.category, row.channel] = row.enabled
    schedules = {}
    if ids:
        between = select(Schedule).where(Schedule.user_id >= min(ids), Schedule.user_id <= max(ids))
        schedules = {row.user_id: row for row in session.scalars(between)}
    return {key: _choices(chosen.get(key, {}), schedules.get(key)) for key in {*chosen, *schedules}.intersection(ids)}


def _choices(chosen: Mapping[tuple[str, str], bool], row: Schedule | None) -> Choices:
    if row is None:
        return Choices(chosen)
    return Choices(chosen, row.quiet_from, row.quiet_to, row.tz, row.digest)


def of_person(user_id: str) -> Choices:
    """Return one person's choices."""
    return of_people([user_id]).get(user_id, Choices())


def offered(role: Role) -> list[NotificationCategory]:
    """Return the categories that somebody of the role can be told of."""
    return [category for category in categories.every() if role in categories.roles_of(category)]


def choose(user_id: str, chosen: Mapping[str, Mapping[str, bool]]) -> None:
    """Keep choices by category or group and channel; what is not named stays. Raises Invalid."""
    known = {*categories.groups(), *(category.name for category in categories.every())}
    faults = [FieldError(f"categories.{name}", "is no category") for name in chosen if name not in known]
    for name, switches in chosen.items():
        faults += [
            FieldError(f"categories.{name}.{channel}", f"must be one of {', '.join(CHANNELS)}")
            for channel in switches
            if channel not in CHANNELS
        ]
    if faults:
        raise Invalid("; ".join(f"{fault.path} {fault.message}" for fault in faults), faults)
    cells = [
        (name, channel, enabled) for name, switches in sorted(chosen.items()) for channel, enabled in sorted(switches.items())
    ]
    with unit_of_work() as session:
        for name, channel, enabled in cells:
            if enabled == _default(name):
                same = (Preference.user_id == user_id, Preference.category == name, Preference.channel == channel)
                session.execute(delete(Preference).where(*same))
        rows = [(user_id, *cell) for cell in cells if cell[2] != _default(cell[0])]
        _KEEP.insert(session.connection(), rows)


def _default(name: str) -> bool:
    category = categories.find(name)
    return True if category is None else category.on_by_default


def set_quiet_hours(user_id: str, start: str | None, end: str | None, tz: str) -> None:
    """Keep quiet hours, `HH:MM` in an IANA zone; None for none. Raises Invalid."""
    if (start is None) != (end is None):
        raise Invalid.field("quiet_hours", "needs both `from` and `to`, or neither")
    begin = None if start is None else _minutes("quiet_hours.from", start)
    until = None if end is None else _minutes("quiet_hours.to", end)
    if begin is not None and begin == until:
        raise Invalid.field("quiet_hours", "must not begin when they end")
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid.field("quiet_hours.tz", "must be an IANA time zone such as Europe/Berlin") from None
    with unit_of_work():
        row = _schedule(user_id)
        row.quiet_from, row.quiet_to, row.tz = begin, until, tz


def set_digest(user_id: str, digest: str) -> None:
    """Keep whether mails come at once, once an hour or once a day. Raises Invalid."""
    if digest not in DIGESTS:
        raise Invalid.field("digest", f"must be one of {', '.join(DIGESTS)}")
    with unit_of_work():
        _schedule(user_id).digest = digest


def _schedule(user_id: str) -> Schedule:
    session = db.session()
    insert_ignore(session.connection(), Schedule.__table__, [{"user_id": user_id, "tz": "UTC", "digest": "off"}])
    return session.get_one(Schedule, user_id, populate_existing=True, with_for_update=True)


def _minutes(path: str, text: str) -> int:
    found = re.fullmatch(CLOCK, text)
    if found is None:
        raise Invalid.field(path, "must be a time of day such as 22:00")
    return int(found[1]) * 60 + int(found[2])


def clock_text(minutes: int | None) -> str | None:
    """Write minutes of the day as `HH:MM`."""
    return None if minutes is None else f"{minutes // 60:02}:{minutes % 60:02}"
