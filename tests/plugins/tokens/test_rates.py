"""The cost of a call by given rates, in whole nano-dollars."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse_tokens.rates import Rates, TierRates, compile_rates, rates_of, read_rates, write_rates

RATES = {"input": "2.5", "output": "10", "cached": "1.25", "cache_write": "3.125", "cache_write_1h": "5", "reasoning": "12"}


def tier(**fields):
    return TierRates(**{**RATES, **fields})


def call(**counts):
    parts = ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens")
    empty = dict.fromkeys(parts)
    return SimpleNamespace(**{**empty, "prompt_tokens": 0, "completion_tokens": 0, "latency_ms": None, **counts})


def cost(rates, **counts):
    return compile_rates(rates).cost(call(**counts))


def test_each_kind_of_token_pays_its_own_rate():
    rates = Rates(tiers=(tier(),))
    assert cost(rates, prompt_tokens=1_000_000) == 2_500_000_000
    assert cost(rates, completion_tokens=1_000_000) == 10_000_000_000
    assert cost(rates, prompt_tokens=1_000_000, cached_tokens=1_000_000) == 1_250_000_000
    assert cost(rates, prompt_tokens=100, cache_write_tokens=100) == 312_500
    assert cost(rates, prompt_tokens=100, cache_write_tokens=100, cache_write_1h_tokens=40) == 60 * 3_125 + 40 * 5_000
    assert cost(rates, completion_tokens=100, reasoning_tokens=40) == 60 * 10_000 + 40 * 12_000


def test_a_prompt_longer_than_the_tier_s_start_pays_its_rates_for_all_tokens():
    rates = Rates(tiers=(tier(), tier(above=200_000, input="5"), tier(above=400_000, input="7")))
    assert cost(rates, prompt_tokens=200_000) == 200_000 * 2_500
    assert cost(rates, prompt_tokens=200_001) == 200_001 * 5_000
    assert cost(rates, prompt_tokens=400_001) == 400_001 * 7_000


def test_a_request_costs_its_price_whatever_it_uses():
    assert cost(Rates(tiers=(tier(request="0.005"),))) == 5_000_000


def test_a_model_on_own_machines_costs_the_time_that_it_takes():
    rates = Rates(tiers=(tier(input="0", output="0", cached="0", cache_write="0", cache_write_1h="0"),), hour="3.6")
    assert cost(rates, prompt_tokens=10, latency_ms=1000) == 1_000_000
    assert cost(rates, prompt_tokens=10, latency_ms=0.5) == 500
    assert cost(rates, prompt_tokens=10) is None


@pytest.mark.parametrize(("rate", "nano"), [("0.0005", 0), ("0.0015", 2), ("0.0025", 2), ("0.0016", 2), ("0.0014", 1)])
def test_half_a_nano_dollar_is_rounded_to_the_even_one(rate, nano):
    assert cost(Rates(tiers=(tier(input=rate),)), prompt_tokens=1) == nano


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.decimals(0, 1000, places=9), st.decimals(0, 1000, places=9))
def test_the_cost_is_that_of_exact_decimals(prompt, completion, input_rate, output_rate):
    exact = (prompt * input_rate + completion * output_rate) / 1_000_000
    rates = Rates(tiers=(tier(input=str(input_rate), output=str(output_rate)),))
    assert abs(Decimal(cost(rates, prompt_tokens=prompt, completion_tokens=completion)).scaleb(-9) - exact) <= Decimal("5E-10")


def test_rates_are_written_and_read_without_loss():
    rates = Rates(tiers=(tier(), tier(above=5, request="0.1")), hour="2")
    assert read_rates(write_rates(rates)) == rates


def test_rates_come_out_of_what_one_token_more_costs():
    more = {"prompt": "0.0000025", "completion": "0.00001", "cached": "-0.00000125", "cache_write": "0.000000625",
            "cache_write_1h": "0.000001875", "reasoning": "0.000002", "request": "0"}  # fmt: skip
    assert rates_of({0: {name: Decimal(value) for name, value in more.items()}}) == Rates(tiers=(tier(),))
