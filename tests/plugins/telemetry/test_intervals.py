"""Buckets of time on any calendar: days of 23 and 25 hours, half-hour zones, comparisons that stay like with like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse import clock
from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.errors import Invalid
from pilothouse.web.ranges import Period
from pilothouse_telemetry.intervals import buckets, earlier, edges, midnight, read_interval, shifted, whole_minute

BERLIN, KOLKATA, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Kathmandu")
LORD_HOWE, SAO_PAULO = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/Sao_Paulo")
ZONES = (ZoneInfo("UTC"), BERLIN, KOLKATA, KATHMANDU, LORD_HOWE, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia"))


def at(text, zone=UTC):
    return clock.to_millis(datetime.fromisoformat(text).replace(tzinfo=zone))


def local(moments, zone):
    return [clock.to_datetime(moment).astimezone(zone).strftime("%m-%d %H:%M") for moment in moments]


def cut(since, until, name, zone):
    period = Period(since, until)
    return edges(period, read_interval(name, period), zone)


def test_days_begin_at_local_midnight_over_the_change_of_the_clock():
    found = cut(at("2026-03-28", BERLIN), at("2026-03-31", BERLIN), "day", BERLIN)
    assert [(b - a) // HOUR for a, b in pairwise(found)] == [24, 23, 24]
    found = cut(at("2026-10-24", BERLIN), at("2026-10-27", BERLIN), "day", BERLIN)
    assert [(b - a) // HOUR for a, b in pairwise(found)] == [24, 25, 24]


def test_hours_of_a_day_of_the_change_are_each_an_hour():
    found = cut(at("2026-10-25", BERLIN), at("2026-10-26", BERLIN), "hour", BERLIN)
    assert len(found) - 1 == 25
    assert {b - a for a, b in pairwise(found)} == {HOUR}


def test_long_steps_follow_the_clock_on_the_wall():
    found = cut(at("2026-03-28", BERLIN), at("2026-03-30", BERLIN), "6h", BERLIN)
    assert local(found, BERLIN)[:9] == [
        "03-28 00:00", "03-28 06:00", "03-28 12:00", "03-28 18:00", "03-29 00:00", "03-29 06:00", "03-29 12:00", "03-29 18:00",
        "03-30 00:00",
    ]  # fmt: skip


@pytest.mark.parametrize(("zone", "minutes"), [(KOLKATA, 30), (KATHMANDU, 15)])
def test_zones_off_the_full_hour_have_their_own_hours_and_days(zone, minutes):
    found = cut(at("2026-05-04", zone), at("2026-05-05", zone), "hour", zone)
    assert len(found) == 25
    assert {edge % HOUR // MINUTE for edge in found} == {minutes}
    assert local(cut(at("2026-05-04T05:00", zone), at("2026-05-06T05:00", zone), "day", zone), zone) == [
        "05-04 00:00", "05-05 00:00", "05-06 00:00", "05-07 00:00",
    ]  # fmt: skip


def test_a_change_of_half_an_hour_is_taken_too():
    found = cut(at("2026-10-03", LORD_HOWE), at("2026-10-06", LORD_HOWE), "day", LORD_HOWE)
    assert [(b - a) / HOUR for a, b in pairwise(found)] == [24, 23.5, 24]
    hours = cut(at("2026-10-04", LORD_HOWE), at("2026-10-05", LORD_HOWE), "hour", LORD_HOWE)
    assert (hours[-1] - hours[0]) / HOUR == 23.5


def test_where_the_clock_jumps_over_midnight_the_day_begins_when_it_jumps():
    day = datetime(2018, 11, 4, tzinfo=SAO_PAULO).date()
    assert local([midnight(day, SAO_PAULO)], SAO_PAULO) == ["11-04 01:00"]
    found = cut(at("2018-11-03T12:00", SAO_PAULO), at("2018-11-05T12:00", SAO_PAULO), "day", SAO_PAULO)
    assert [(b - a) // HOUR for a, b in pairwise(found)] == [24, 23, 24]


def test_weeks_begin_on_monday_and_months_on_the_first():
    assert local(cut(at("2026-02-18"), at("2026-03-03"), "week", UTC), UTC)[0] == "02-16 00:00"
    assert local(cut(at("2025-12-18"), at("2026-03-03"), "month", UTC), UTC) == [
        "12-01 00:00", "01-01 00:00", "02-01 00:00", "03-01 00:00", "04-01 00:00",
    ]  # fmt: skip


@given(
    st.integers(at("2016-01-01"), at("2026-11-01")),
    st.integers(2, 60 * DAY // MINUTE),
    st.sampled_from(["15m", "hour", "2h", "6h", "12h", "day", "week", "month"]),
    st.sampled_from(ZONES),
)
def test_edges_ascend_and_cover_the_period_without_a_spare_one(since, minutes, name, zone):
    until = since + minutes * MINUTE
    found = cut(since, until, name, zone)
    assert all(first < second for first, second in pairwise(found))
    assert found[0] <= since < found[1]
    assert found[-2] < until <= found[-1]


def test_a_bucket_that_the_period_cuts_is_not_complete():
    with clock.replaced(lambda: at("2026-05-07T12:30")):
        period = Period(at("2026-05-04T06:00"), at("2026-05-07T12:30"))
        found = buckets(period, read_interval("day", period), ZoneInfo("UTC"))
    assert local(found.starts, UTC) == ["05-04 00:00", "05-05 00:00", "05-06 00:00", "05-07 00:00"]
    assert found.complete == (False, True, True, False)
    assert (found.bounds[0], found.bounds[-1]) == (period.since, period.until)


def test_a_bucket_that_is_not_over_yet_is_not_complete():
    with clock.replaced(lambda: at("2026-05-05T12:00")):
        period = Period(at("2026-05-04"), at("2026-05-06"))
        assert buckets(period, read_interval("day", period), ZoneInfo("UTC")).complete == (True, False)


def test_the_earlier_period_has_as_many_buckets_cut_at_the_same_time():
    with clock.replaced(lambda: at("2026-05-07T12:30")):
        period = Period(at("2026-05-01"), at("2026-05-07T12:30"))
        now = buckets(period, read_interval("day", period), ZoneInfo("UTC"))
    before = earlier(now, 7 * DAY, ZoneInfo("UTC"))
    assert len(before.starts) == len(now.starts) == 7
    assert local([before.starts[-1], before.bounds[-1]], UTC) == ["04-30 00:00", "04-30 12:30"]


def test_whole_days_move_by_local_days_over_the_change_of_the_clock():
    with clock.replaced(lambda: at("2026-11-20")):
        period = Period(at("2026-10-26", BERLIN), at("2026-11-02", BERLIN))
        now = buckets(period, read_interval("day", period), BERLIN)
    before = earlier(now, period.length, BERLIN)
    assert local(before.starts, BERLIN) == [f"10-{day} 00:00" for day in range(19, 26)]
    assert [(b - a) // HOUR for a, b in pairwise(before.bounds)] == [24, 24, 24, 24, 24, 24, 25]


def test_local_days_of_which_one_is_longer_move_by_local_days_too():
    with clock.replaced(lambda: at("2026-11-20")):
        period = Period(at("2026-10-24", BERLIN), at("2026-10-27", BERLIN))
        now = buckets(period, read_interval("day", period), BERLIN)
    assert period.length == 73 * HOUR
    before = earlier(now, period.length, BERLIN)
    assert local([*before.starts, before.bounds[-1]], BERLIN) == [f"10-{day} 00:00" for day in range(21, 25)]


def test_other_lengths_move_by_true_time():
    with clock.replaced(lambda: at("2026-11-20")):
        period = Period(at("2026-10-25T00:00", BERLIN), at("2026-10-25T12:00", BERLIN))
        now = buckets(period, read_interval("hour", period), BERLIN)
    before = earlier(now, period.length, BERLIN)
    assert before.bounds[-1] == now.bounds[0]
    assert len(before.bounds) == len(now.bounds) == 14


def test_an_hour_that_comes_twice_has_no_second_counterpart():
    with clock.replaced(lambda: at("2026-11-20")):
        period = Period(at("2026-10-25", BERLIN), at("2026-10-26", BERLIN))
        now = buckets(period, read_interval("hour", period), BERLIN)
    before = earlier(now, 7 * DAY, BERLIN)
    assert len(before.starts) == 25
    assert sum(a == b for a, b in pairwise(before.bounds)) == 1
    assert before.bounds[-1] - before.bounds[0] == 24 * HOUR


def test_shifting_keeps_the_time_on_the_wall():
    assert local([shifted(at("2026-10-28T09:00", BERLIN), 7, BERLIN)], BERLIN) == ["10-21 09:00"]
    assert at("2026-10-28T09:00", BERLIN) - shifted(at("2026-10-28T09:00", BERLIN), 7, BERLIN) == 7 * DAY + HOUR


@pytest.mark.parametrize(("length", "name"), [
    (timedelta(hours=1), "minute"), (timedelta(days=1), "hour"), (timedelta(days=7), "day"), (timedelta(days=300), "week"),
])
def test_an_interval_that_nobody_names_fits_the_period(length, name):
    assert read_interval(None, Period(0, int(length.total_seconds() * 1000))).name == name


@pytest.mark.parametrize(("name", "meant"), [("1h", "hour"), ("24h", "day"), ("1d", "day"), ("7d", "week"), ("1m", "minute")])
def test_an_interval_has_other_names(name, meant):
    assert read_interval(name, Period(0, DAY)).name == meant


@pytest.mark.parametrize("name", ["7m", "fortnight", "-1h", "0h"])
def test_an_interval_that_does_not_exist_is_refused(name):
    with pytest.raises(Invalid, match="must be one of minute, 5m"):
        read_interval(name, Period(0, DAY))


def test_too_many_points_are_refused():
    with pytest.raises(Invalid, match="more than 10,000 points"):
        read_interval("minute", Period(0, 8 * DAY))


def test_a_relative_period_begins_with_a_whole_minute():
    assert [whole_minute(moment) for moment in (0, 1, MINUTE, MINUTE + 1)] == [0, MINUTE, MINUTE, 2 * MINUTE]
