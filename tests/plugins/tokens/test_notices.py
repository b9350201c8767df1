"""What people are told, in words."""

from __future__ import annotations

import pytest
from msgspec import structs

from pilothouse_tokens.events import BudgetCrossed, Unpriced
from pilothouse_tokens.notices import budget_crossed, unpriced


def crossed(level, *, hard=False):
    money = {"spent_nano": 41_000_000_000, "amount_nano": 50_000_000_000}
    return BudgetCrossed(budget_id="b1", budget="Nightly", level=level, period_start=7, hard=hard, **money)


def test_a_model_without_a_price_leads_to_its_form():
    notice = unpriced(Unpriced(model="meta/llama 3", provider=None))
    assert (notice.title, notice.type) == ("No price for meta/llama 3", "warning")
    assert notice.action_url.endswith("price=meta%2Fllama%203")


@pytest.mark.parametrize(("level", "hard", "words", "kind"), [
    (50, False, "50 % spent", "warning"), (80, True, "80 % spent", "warning"), (100, True, "is used up", "error"),
])  # fmt: skip
def test_a_budget_says_how_much_of_it_is_spent(level, hard, words, kind):
    notice = budget_crossed(crossed(level, hard=hard))
    assert words in notice.title
    assert "$41.00 of $50.00" in notice.message
    assert notice.type == kind
    assert ("refused" in notice.message) == (level == 100 and hard)


def test_levels_of_one_period_are_told_apart():
    assert budget_crossed(crossed(50)).fold_key != budget_crossed(crossed(80)).fold_key


def test_a_period_that_ended_is_spoken_of_as_such_and_other_units_as_theirs():
    event = structs.replace(crossed(100, hard=True), ended=True)
    assert budget_crossed(event).message == "$41.00 of $50.00 were spent in the period that just ended."
    event = structs.replace(crossed(80), unit="tokens")
    assert budget_crossed(event).message == "41 tokens of 50 tokens are spent in this period."
