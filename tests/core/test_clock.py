"""The clock: milliseconds inside, RFC 3339 outside, ids that sort by the moment they were made."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse import clock
from pilothouse.signals import LATEST, parse_time


def test_now_is_the_system_s_time_in_milliseconds():
    assert abs(clock.now() - time.time() * 1000) < 5_000


def test_a_replaced_clock_holds_in_every_thread_and_ends():
    seen = []
    with clock.replaced(lambda: 42):
        thread = threading.Thread(target=lambda: seen.append(clock.now()))
        thread.start()
        thread.join()
    assert seen == [42]
    assert clock.now() > 42


def test_a_replaced_clock_ends_with_a_fault_too():
    with pytest.raises(KeyError), clock.replaced(lambda: 42):
        raise KeyError
    assert clock.now() > 42


def test_ids_sort_in_the_order_in_which_they_were_made():
    ids = [clock.new_id() for _ in range(1_000)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {36}
    assert {one[14] for one in ids} == {"7"}


def test_times_are_written_in_utc_with_milliseconds():
    assert clock.to_rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert clock.to_rfc3339(1_700_092_800_007) == "2023-11-16T00:00:00.007Z"
    assert clock.to_rfc3339(LATEST) == "9999-12-31T23:59:59.999Z"


def test_a_datetime_of_any_zone_is_a_moment():
    east = datetime(2023, 11, 16, 2, tzinfo=timezone(timedelta(hours=2)))
    assert clock.to_millis(east) == 1_700_092_800_000
    assert clock.to_millis(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@given(st.integers(0, LATEST))
def test_a_moment_survives_the_way_out_and_in(at):
    assert clock.to_millis(clock.to_datetime(at)) == at
    assert parse_time(clock.to_rfc3339(at), latest=LATEST) == at
