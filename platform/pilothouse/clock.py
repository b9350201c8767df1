"""Now and new ids: the one place that tests replace.

Times are Unix milliseconds in UTC everywhere inside Pilothouse; ids are UUIDv7 text (RFC 9562), monotonic in a process.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import uuid_utils

SECOND = 1_000  # ms, as the others
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _system_now() -> int:
    return time.time_ns() // 1_000_000


class _Source:
    """Where `now` comes from; one object, so that a test's replacement holds in every thread."""

    now: Callable[[], int] = staticmethod(_system_now)


def now() -> int:
    """Return the current time in Unix milliseconds."""
    return _Source.now()


@contextmanager
def replaced(source: Callable[[], int]) -> Iterator[None]:
    """Let `source` tell the time inside the block (tests only)."""
    before = _Source.now
    _Source.now = staticmethod(source)
    try:
        yield
    finally:
        _Source.now = staticmethod(before)


def new_id() -> str:
    """Return a new UUIDv7 as text; later ids of a process sort after earlier ones."""
    return str(uuid_utils.uuid7())


def to_millis(moment: datetime) -> int:
    """Convert an aware datetime to Unix milliseconds, rounding down."""
    return (moment - _EPOCH) // _MILLISECOND


def to_datetime(at: int) -> datetime:
    """Convert Unix milliseconds to a datetime in UTC; exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=at)


def to_rfc3339(at: int) -> str:
    """Write Unix milliseconds as RFC 3339 in UTC with `Z` and milliseconds."""
    return to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"
