"""What people are told about prices and budgets."""

from __future__ import annotations

from urllib.parse import quote

from pilothouse.sdk import NANO, Notice
from pilothouse_tokens.events import BudgetCrossed, Unpriced

FULL = 100  # percent


def unpriced(event: Unpriced) -> Notice:
    """Tell of a model without a price."""
    return Notice(
        title=f"No price for {event.model}",
        message="Its calls are recorded, but what they cost is unknown. Set a price, and the past is priced too.",
        type="warning",
        action_url=f"/tokens/?tab=prices&price={quote(event.model, safe='')}",
        action_label="Set a price",
        fold_key=f"unpriced:{event.model}",
    )


def budget_crossed(event: BudgetCrossed) -> Notice:
    """Tell of a budget that reached 50, 80 or 100 percent."""
    spent, amount = (_amount(nano, event.unit) for nano in (event.spent_nano, event.amount_nano))
    full = event.level >= FULL
    stopped = " Calls that ask first are refused until the next period." if full and event.hard and not event.ended else ""
    period = "the period that just ended" if event.ended else "this period"
    return Notice(
        title=f"Budget {event.budget} is used up" if full else f"Budget {event.budget}: {event.level} % spent",
        message=f"{spent} of {amount} {'were' if event.ended else 'are'} spent in {period}.{stopped}",
        type="error" if full else "warning",
        action_url="/tokens/?tab=budgets",
        action_label="Open budgets",
        fold_key=f"budget:{event.budget_id}:{event.period_start}:{event.level}",
    )


def _amount(nano: int, unit: str) -> str:
    if unit == "USD":
        return f"${nano / NANO:,.2f}"
    return f"{nano / NANO:,.15g}" + ("" if unit in {"", "1"} else f" {unit}")
