"""The price book: what models cost by the list of `genai-prices`, or by a newer one in its format.

The library is loaded with the first question: it takes 0.06 s of a start and 10 MB of memory, which processes that price
nothing do without.
"""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse_tokens.rates import Compiled, Rates


@dataclass(frozen=True, slots=True)
class BookPrice:
    """A price of the book: who sells which model, from when (ms), by what rates. `id` follows from all of it."""

    id: str
    provider: str
    model: str
    source: str
    valid_from: int
    rates: Rates
    compiled: Compiled


def find_price(
    model: str, at: int, *, provider: str | None = None, tier: str | None = None, file: str = ""
) -> BookPrice | None:
    """Return the price of a model at a moment (ms); None where the book does not know it.

    `tier` is the service tier that the provider answered with ("flex", "priority", "batch"). `file` is a newer price list
    in the library's format, read in place of the one that it ships.
    """
    from pilothouse_tokens import library

    return library.find_price(model, at, provider=provider, tier=tier, file=file)


def all_models(file: str = "") -> tuple[tuple[str, str], ...]:
    """Return every model of the book as (provider, model), sorted."""
    from pilothouse_tokens import library

    return library.all_models(file)


def price_of(provider: str, model: str, at: int, file: str = "") -> BookPrice:
    """Return the price at a moment (ms) of a model that `all_models` names."""
    from pilothouse_tokens import library

    return library.price_of(provider, model, at, file)
