"""The guard: a failing plugin is contained, counted, rested, and tried again by itself."""

from __future__ import annotations

import threading

import pytest

from pilothouse.errors import Forbidden, NotFound, VaultSealed
from pilothouse.plugins.guard import REST, TRIES, Guard, PluginFailed


def fall():
    raise ZeroDivisionError("no Bearer abcdefghijklmnop here")


def fails(guard, function=fall, what="panel"):
    with pytest.raises(PluginFailed) as caught:
        guard.call("weather", what, function)
    return caught.value


def test_a_result_comes_through():
    assert Guard().call("weather", "panel", lambda a, b: (a, b), 1, b=2) == (1, 2)
    assert Guard().ask("weather", "price", lambda a: a, a=3) == 3


def test_a_failure_is_counted_and_put_into_words(time_of_day):
    guard = Guard()
    assert isinstance(fails(guard).__cause__, ZeroDivisionError)
    failure = guard.of("weather")["panel"]
    assert (failure.count, failure.in_a_row, failure.last_at) == (1, 1, time_of_day.at)
    assert failure.last_reason == "ZeroDivisionError: no [scrubbed]mnop here"


def test_after_five_in_a_row_it_rests_and_costs_nothing(time_of_day):
    guard, calls = Guard(), []

    def broken():
        calls.append(1)
        fall()

    for _ in range(TRIES + 3):
        fails(guard, broken)
    assert len(calls) == TRIES
    assert "rests after failing 5 times" in str(fails(guard, broken))


def test_after_its_rest_it_is_tried_again(time_of_day):
    guard = Guard()
    for _ in range(TRIES):
        fails(guard)
    time_of_day.pass_by(REST)
    assert guard.call("weather", "panel", lambda: "well") == "well"
    for _ in range(TRIES - 1):
        fails(guard)
    assert guard.call("weather", "panel", lambda: "well") == "well"


def test_one_more_failure_after_the_rest_is_another_rest(time_of_day):
    guard = Guard()
    for _ in range(TRIES):
        fails(guard)
    time_of_day.pass_by(REST)
    assert "panel failed" in str(fails(guard))
    assert "rests" in str(fails(guard))


def test_each_contribution_rests_by_itself():
    guard = Guard()
    for _ in range(TRIES):
        fails(guard)
    assert guard.call("weather", "badge", lambda: 1) == 1
    assert guard.call("other", "panel", lambda: 1) == 1
    assert set(guard.of("weather")) == {"panel"}
    assert guard.of("other") == {}


@pytest.mark.parametrize("answer", [Forbidden, NotFound, VaultSealed])
def test_what_a_runtime_hook_says_on_purpose_is_no_failure(answer):
    guard = Guard()

    def refuse():
        raise answer("used up")

    with pytest.raises(answer):
        guard.ask("weather", "reserve", refuse)
    assert guard.failures == {}
    assert isinstance(fails(guard, refuse).__cause__, answer)  # a panel that says so has failed all the same


def test_an_end_of_the_process_is_not_held_up():
    def leave():
        raise SystemExit

    with pytest.raises(SystemExit):
        Guard().call("weather", "panel", leave)


def test_many_threads_count_right():
    guard = Guard()
    threads = [threading.Thread(target=lambda n=n: [guard.note("weather", f"p{n}",
    KeyError(i)) for i in range(50)]) for n in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        guard.of("weather")
    assert {failure.count for failure in guard.of("weather").values()} == {50}
