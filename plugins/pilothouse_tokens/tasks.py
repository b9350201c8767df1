"""Background work of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import DAY, now, runtime, unit_of_work
from pilothouse_tokens import budgets, recommending, repricing, service

EXPIRE_ROWS = 2_000  # rows a transaction deletes: it holds the writers' lock for some 20 ms
EXPIRE_STEPS = 200  # transactions a run makes; what is left waits for the next one


def expire(_payload: Mapping[str, Any]) -> None:
    """Delete usage older than PILOTHOUSE_RETENTION_DAYS, in small batches; its sums stay."""
    before = now() - runtime().settings["PILOTHOUSE_RETENTION_DAYS"] * DAY
    for _ in range(EXPIRE_STEPS):
        with unit_of_work():
            if service.expire(before, EXPIRE_ROWS) < EXPIRE_ROWS:
                return


def reprice(payload: Mapping[str, Any]) -> None:
    """Price the past again, window by window; a killed run goes on where it was."""
    repricing.run_on(payload["repricing_id"])


def refresh_prices(_payload: Mapping[str, Any]) -> None:
    """Price what was unpriced where a newer price book knows it."""
    repricing.start_for_known()


def check_budgets(_payload: Mapping[str, Any]) -> None:
    """Tell of every level that a budget has reached and nobody was told of."""
    budgets.check()


def recommend(_payload: Mapping[str, Any]) -> None:
    """Look for ways to spend less."""
    recommending.refresh()
