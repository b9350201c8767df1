"""Periods of time in requests: `range=24h` or `since` and `until`, with a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pilothouse import clock
from pilothouse.errors import Invalid

UNITS = {"m": clock.MINUTE, "h": clock.HOUR, "d": clock.DAY, "w": 7 * clock.DAY}
LONGEST = 400 * clock.DAY
_RANGE = re.compile(r"([1-9][0-9]{0,5})([mhdw])")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` (inclusive) to `until` (exclusive), in Unix milliseconds."""

    since: int
    until: int

    @property
    def length(self) -> int:
        """The period's length in milliseconds."""
        return self.until - self.since

    def before(self) -> Period:
        """Return the period of the same length just before."""
        return Period(self.since - self.length, self.since)


def read_period(
    range_: str | None = None, since: int | None = None, until: int | None = None, *, default: str = "24h"
) -> Period:
    """Read the period that a request asks for. Raises Invalid for anything that is none, or longer than 400 days."""
    now, length = clock.now(), parse_range(range_ or default)
    if since is not None or until is not None:
        end = now if until is None else until
        start = end - length if since is None else since
        if start >= end:
            raise Invalid.field("since", "must be before until")
        if end - start > LONGEST:
            raise Invalid.field("since", "the period is longer than 400 days")
        return Period(start, end)
    return Period(now - length, now)


def parse_range(value: str) -> int:
    """Read `24h`, `7d`, `4w` or `90m`. Returns milliseconds. Raises Invalid."""
    match = _RANGE.fullmatch(value)
    if match is None:
        raise Invalid.field("range", "must be a number with m, h, d or w, such as 24h or 7d")
    length = int(match[1]) * UNITS[match[2]]
    if length > LONGEST:
        raise Invalid.field("range", "is longer than 400 days")
    return length


def read_zone(name: str | None) -> ZoneInfo:
    """Return the IANA time zone; UTC if left out. Raises Invalid for an unknown one."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid.field("tz", "is no IANA time zone, such as Europe/Berlin") from None
