"""Money: decimal text outside, whole nano-dollars inside, and never a float in between."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.money import LARGEST, NANO, parse_usd, to_usd


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        ("0", 0), ("1", NANO), ("0.001234500", 1_234_500), ("1e3", 1_000 * NANO), ("1.5E-9", 2), (2, 2 * NANO),
        (0.1, 100_000_000), (0.1 + 0.2, 300_000_000), ("-0", 0), ("8999999999.999999999", 8_999_999_999_999_999_999),
    ],
)  # fmt: skip
def test_dollars_become_whole_nano_dollars(value, nano):
    assert parse_usd(value) == nano


@pytest.mark.parametrize(
    ("value", "nano"), [("0.0000000005", 0), ("0.0000000015", 2), ("0.0000000025", 2), ("0.00000000250001", 3)]
)
def test_what_lies_in_the_middle_goes_to_the_even_neighbour(value, nano):
    assert parse_usd(value) == nano


@pytest.mark.parametrize(
    "value",
    ["", " ", "1_000", " 1", "1 ", "\uff11\uff12", "nan", "NaN", "inf", "-Infinity", "1,5", "$1", "0x1", "1.", ".5", "1e", True,
     "1e9999999999999", float("nan"), float("inf")],
)  # fmt: skip
def test_what_is_no_decimal_number_is_refused(value):
    with pytest.raises(ValueError, match="must be a decimal number of dollars"):
        parse_usd(value)


def test_a_number_of_too_many_digits_is_refused():
    with pytest.raises(ValueError, match="must be a decimal number of dollars"):
        parse_usd(10**5_000)


@pytest.mark.parametrize("value", ["-0.000000001", "-1", LARGEST, "1e10", "1e999999999", 10**400])
def test_amounts_below_nothing_or_beyond_64_bits_are_refused(value):
    with pytest.raises(ValueError, match="must lie between"):
        parse_usd(value)


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.000000000"), (1, "0.000000001"), (-1, "-0.000000001"), (1_234_500, "0.001234500"), (-5 * NANO, "-5.000000000")],
)
def test_nano_dollars_are_written_with_nine_places(nano, text):
    assert to_usd(nano) == text


@given(st.integers(0, LARGEST * NANO - 1))
def test_what_is_written_is_read_back(nano):
    assert parse_usd(to_usd(nano)) == nano


@given(st.decimals(0, 8_999_999_999, allow_nan=False, places=14))
def test_rounding_is_that_of_decimal_arithmetic(amount):
    assert parse_usd(f"{amount:f}") == int(Decimal(amount).scaleb(9).quantize(Decimal(1), ROUND_HALF_EVEN))


@given(st.text(max_size=40))
def test_any_text_is_an_amount_or_a_plain_refusal(text):
    try:
        assert 0 <= parse_usd(text) < LARGEST * NANO
    except ValueError as fault:
        assert str(fault).startswith("must ")  # noqa: PT017 - both ways are right
