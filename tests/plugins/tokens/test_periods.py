"""Calendar periods in time zones, daylight saving included."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.clock import DAY, HOUR, MINUTE, to_millis
from pilothouse.web.ranges import Period
from pilothouse_tokens.periods import bucket_end, bucket_starts, calendar_period, interval_for, local_date, midnight

BERLIN, KOLKATA, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("UTC")


def utc(*parts):
    return to_millis(datetime(*parts, tzinfo=UTC))


@pytest.mark.parametrize(("kind", "since", "until"), [
    ("day", (2026, 3, 28, 23), (2026, 3, 29, 22)),
    ("week", (2026, 3, 22, 23), (2026, 3, 29, 22)),
    ("month", (2026, 2, 28, 23), (2026, 3, 31, 22)),
])  # fmt: skip
def test_a_period_follows_the_local_calendar_through_a_change_of_clocks(kind, since, until):
    assert calendar_period(kind, utc(2026, 3, 29, 12), BERLIN) == Period(utc(*since), utc(*until))


def test_a_week_begins_on_monday_and_a_month_may_end_a_year():
    assert calendar_period("week", utc(2026, 11, 26), UTC_ZONE).since == utc(2026, 11, 23)
    assert calendar_period("month", utc(2026, 12, 31), UTC_ZONE).until == utc(2027, 1, 1)


def test_the_same_moment_may_be_two_dates():
    assert local_date(utc(2026, 1, 1, 20), KOLKATA) == date(2026, 1, 2)


def test_a_midnight_that_does_not_exist_is_the_moment_of_the_change():
    assert midnight(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo")) == utc(2018, 11, 4, 3)


@pytest.mark.parametrize(("length", "interval"), [(HOUR, "minute"), (DAY, "hour"), (2 * DAY, "hour"), (7 * DAY, "day")])
def test_the_interval_fits_the_period(length, interval):
    assert interval_for(Period(0, length)) == interval


def test_days_of_a_change_of_clocks_have_23_and_25_hours():
    starts = bucket_starts(Period(utc(2026, 3, 28, 12), utc(2026, 3, 31)), "day", BERLIN)
    lengths = [bucket_end(at, "day", BERLIN) - at for at in starts]
    assert lengths == [24 * HOUR, 23 * HOUR, 24 * HOUR, 24 * HOUR]


def test_hours_of_kolkata_begin_at_half_past():
    starts = bucket_starts(Period(utc(2026, 1, 1, 10, 45), utc(2026, 1, 1, 12, 40)), "hour", KOLKATA)
    assert starts == [utc(2026, 1, 1, 10, 30), utc(2026, 1, 1, 11, 30), utc(2026, 1, 1, 12, 30)]


@given(st.integers(0, 2**41), st.integers(1, 60 * DAY), st.sampled_from(["hour", "day"]), st.sampled_from([BERLIN, KOLKATA]))
def test_buckets_cover_a_period_without_gaps(since, length, interval, zone):
    period = Period(since, since + length)
    starts = bucket_starts(period, interval, zone)
    assert starts[0] <= since < bucket_end(starts[0], interval, zone)
    assert starts == sorted(set(starts))
    assert starts[-1] < period.until <= bucket_end(starts[-1], interval, zone)
    assert all(start % MINUTE == 0 for start in starts)
