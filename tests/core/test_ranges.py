"""Periods of requests: ranges, bounds and time zones, each right or refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse import clock
from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.errors import Invalid
from pilothouse.web.ranges import LONGEST, Period, parse_range, read_period, read_zone

NOON = 1_700_135_000_000


@pytest.fixture(autouse=True)
def noon():
    """Let it be noon."""
    with clock.replaced(lambda: NOON):
        yield


def wrong(*arguments, **options):
    with pytest.raises(Invalid) as caught:
        read_period(*arguments, **options)
    return caught.value.errors[0].path


@pytest.mark.parametrize(("text", "length"), [("90m", 90 * MINUTE), ("24h", DAY), ("7d", 7 * DAY), ("4w", 28 * DAY), ("400d",
LONGEST), ("1m", MINUTE)])
def test_a_range_ends_now(text, length):
    assert read_period(text) == Period(NOON - length, NOON)


def test_without_a_range_it_is_a_day_or_what_the_route_says():
    assert read_period().length == DAY
    assert read_period(default="30d").length == 30 * DAY


@pytest.mark.parametrize("text", ["", "0h", "-1h", "24", "h", "1.5h", "24H", "1y", "1 h", "401d", "58w", "9999999m",
"\u0662h", "24h "])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(Invalid):
        parse_range(text)


@given(st.text(max_size=12))
def test_any_text_is_a_range_or_refused(text):
    try:
        assert MINUTE <= parse_range(text) <= LONGEST
    except Invalid as fault:
        assert fault.errors[0].path == "range"  # noqa: PT017 - both ways are right


def test_bounds_make_a_period():
    assert read_period(since=5, until=9) == Period(5, 9)
    assert read_period(since=NOON - HOUR) == Period(NOON - HOUR, NOON)
    assert read_period(until=NOON - HOUR) == Period(NOON - HOUR - DAY, NOON - HOUR)
    assert read_period("2h", until=NOON - HOUR) == Period(NOON - 3 * HOUR, NOON - HOUR)


def test_bounds_that_make_none_are_refused():
    assert wrong(since=9, until=9) == "since"
    assert wrong(since=9, until=5) == "since"
    assert wrong(since=NOON + 1) == "since"
    assert wrong(since=0, until=LONGEST + 1) == "since"


def test_a_wrong_range_is_told_beside_bounds_too():
    assert wrong("nonsense", 5, 9) == "range"


def test_the_period_before_is_as_long():
    assert Period(100, 150).before() == Period(50, 100)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", None, ""])
def test_a_zone_goes_by_its_name(name):
    assert read_zone(name).key == (name or "UTC")


@pytest.mark.parametrize("name", ["Nowhere", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b", "\ud800", "x" * 5_000,
"Europe/Berlin\n", "."])
def test_what_is_no_zone_is_refused(name):
    with pytest.raises(Invalid) as caught:
        read_zone(name)
    assert caught.value.errors[0].path == "tz"
