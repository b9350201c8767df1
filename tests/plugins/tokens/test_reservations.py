"""Hard budgets: money is set aside before a call, and many callers at once cannot spend more than there is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pilothouse.clock import MINUTE
from pilothouse.errors import BudgetUsedUp
from pilothouse.runtime import runtime
from pilothouse.sdk import Spend

CENT = 10_000_000


def reserve(**fields):
    return runtime().registry.first("reserve", spend=Spend(CENT, **fields))


def make(api, amount="0.05", **fields):
    answer = api.post("/api/tokens/budgets", json={"name": "Hard", "amount_usd": amount, "hard": True, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json["id"]


def aside(rows):
    return rows("SELECT COALESCE(SUM(amount_nano), 0) AS nano FROM token_reservations")[0]["nano"]


def test_where_no_hard_budget_applies_nothing_is_set_aside(api, rows):
    api.post("/api/tokens/budgets", json={"name": "Soft", "amount_usd": 1})
    make(api, workflow="nightly")
    assert reserve(workflow="other") is None
    assert aside(rows) == 0


def test_calls_are_refused_when_the_budget_is_set_aside(api):
    make(api)
    assert [reserve() is not None for _ in range(5)] == [True] * 5
    with pytest.raises(BudgetUsedUp, match="Hard") as refusal:
        reserve()
    assert 0 < refusal.value.retry_after <= 31 * 86_400


def test_released_money_is_free_again(api, rows):
    make(api, amount="0.01")
    reserve().release()
    assert aside(rows) == 0
    assert reserve() is not None


def test_a_settled_call_counts_what_it_cost_until_its_usage_is_recorded(api, usage, rows):
    make(api, amount="0.02")
    reservation = reserve()
    reservation.settle(CENT // 2)
    assert aside(rows) == CENT // 2
    api.send(usage(reservation.id, cost_usd="0.005"))
    assert aside(rows) == 0
    assert [reserve() is not None for _ in range(2)] == [True, True]


def test_usage_may_be_recorded_before_the_call_is_settled(api, usage, rows):
    make(api)
    reservation = reserve()
    api.send(usage(reservation.id, cost_usd="0.005"))
    reservation.settle(CENT // 2)
    assert aside(rows) == 0


def test_a_call_of_which_nothing_is_heard_gives_its_money_back(api, time_of_day):
    make(api, amount="0.01")
    reserve()
    with pytest.raises(BudgetUsedUp):
        reserve()
    time_of_day.pass_by(16 * MINUTE)
    assert reserve() is not None


def test_every_budget_of_a_call_is_asked(api, rows):
    make(api, amount="1")
    make(api, amount="0.01", user="ada")
    reserve(user="ada")
    with pytest.raises(BudgetUsedUp):
        reserve(user="ada")
    assert aside(rows) == 2 * CENT
    assert reserve(user="bob") is not None


def test_spend_that_came_by_other_doors_counts(api, usage):
    make(api, model="gpt-4o")
    api.send(usage("u1", cost_usd="0.05"))
    with pytest.raises(BudgetUsedUp):
        reserve(model="gpt-4o")


def test_refusals_are_no_failures_of_the_plugin(api):
    make(api, amount="0.01")
    reserve()
    for _ in range(7):
        with pytest.raises(BudgetUsedUp):
            reserve()
    assert runtime().registry.guard.of("tokens") == {}


def test_64_callers_at_once_never_spend_more_than_there_is(app, api, usage, totals, rows):
    make(api, amount="0.2")

    def call(number):
        with app.app_context():
            try:
                reservation = reserve()
            except BudgetUsedUp:
                return 0
            api.send(usage(reservation.id, cost_usd="0.01"))
            reservation.settle(CENT)
            return 1

    with ThreadPoolExecutor(16) as pool:
        made = sum(pool.map(call, range(64)))
    assert (made, totals(api)["cost_usd"]) == (20, "0.200000000")
    assert aside(rows) == 0
