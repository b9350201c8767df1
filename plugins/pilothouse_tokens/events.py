"""What happened to token usage: the plugin's only public module."""

from __future__ import annotations

from pilothouse.sdk import Event


class Unpriced(Event, frozen=True, kw_only=True):
    """Usage came of a model that nothing prices; told once a model, until it has a price."""

    model: str
    provider: str | None

    @classmethod
    def name(cls) -> str:
        """Return `tokens.unpriced`."""
        return "tokens.unpriced"


class BudgetCrossed(Event, frozen=True, kw_only=True):
    """A budget reached 50, 80 or 100 percent; told once a level and period. Amounts are billionths of the unit.

    `ended` says that the period is over: its last calls made the difference.
    """

    budget_id: str
    budget: str
    level: int
    spent_nano: int
    amount_nano: int
    period_start: int
    hard: bool
    ended: bool = False
    unit: str = "USD"

    @classmethod
    def name(cls) -> str:
        """Return `tokens.budget_crossed`."""
        return "tokens.budget_crossed"


class PriceChanged(Event, frozen=True, kw_only=True):
    """A person set or removed a price of a model; it occurred when the price begins to hold, which may be long ago."""

    model: str

    @classmethod
    def name(cls) -> str:
        """Return `tokens.price_changed`."""
        return "tokens.price_changed"

    def mark(self) -> str:
        """Return what charts of spend say at that moment."""
        return f"Price of {self.model} changed"


class Repriced(Event, frozen=True, kw_only=True):
    """The past was priced again; `difference_nano` is what that added to the cost."""

    model: str | None
    examined: int
    changed: int
    difference_nano: int

    @classmethod
    def name(cls) -> str:
        """Return `tokens.repriced`."""
        return "tokens.repriced"
