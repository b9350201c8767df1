"""What a call costs: by a person's own price first, then by the price book; unknown is unpriced, never free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table

from pilothouse.sdk import (
    NANO,
    Price,
    TokenUsage,
    db,
    in_list,
    in_list_sql,
    insert_ignore,
    known_ids,
    now,
    parse_usd,
    runtime,
    to_usd,
)
from pilothouse_tokens.book import BookPrice, find_price
from pilothouse_tokens.models import TokenPrice
from pilothouse_tokens.rates import Compiled, compile_rates, read_rates, write_rates

OWN = "own"  # the source of a price that a person set
PRICES_FILE = "PILOTHOUSE_PRICES_FILE"
MOST_COST = 1_000_000 * NANO  # of one call: beyond it a price or a count is wrong, and sums could leave 64 bits

_PRICES: Table = TokenPrice.__table__
_OWN_COLUMNS = ("id", "lookup", "provider", "valid_from", "rates")


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price that a person set: for calls from `valid_from` (ms) on, of one provider where one is named."""

    id: str
    provider: str | None
    valid_from: int
    compiled: Compiled

    def holds(self, call: Any, at: int) -> bool:
        """Say whether this is the price of a call."""
        return at >= self.valid_from and (self.provider is None or self.provider == (call.provider or "").lower())


@dataclass(slots=True)
class Pricer:
    """Prices calls: signals or rows of `token_usage`. Made for one batch, so that it never holds an old price."""

    own: Mapping[str, Sequence[OwnPrice]]
    file: str = ""
    used: dict[str, BookPrice] = field(default_factory=dict)

    def price(self, call: Any) -> Price | None:
        """Return what a call costs by the price that held at its time; None where nothing prices it.

        The name that answered goes before the one that was asked for, and a person's price before the book's.
        """
        at = now() if call.at is None else call.at
        names = [name for name in (call.model, call.request_model) if name]
        for name in names:
            for own in self.own.get(name.lower(), ()):
                if own.holds(call, at):
                    return _price(own.compiled, own.id, call)
        for name in names:
            found = find_price(name, at, provider=call.provider, tier=call.service_tier, file=self.file)
            if found is not None:
                self.used[found.id] = found
                return _price(found.compiled, found.id, call)
        return None


def pricer(connection: Connection, calls: Iterable[Any]) -> Pricer:
    """Make a pricer for calls, with the own prices that hold now."""
    wanted = {name.lower() for call in calls for name in (call.model, call.request_model) if name}
    return Pricer(_own_prices(connection, sorted(wanted)), runtime().settings[PRICES_FILE])


def fill_in(signals: list[TokenUsage]) -> list[TokenUsage]:
    """Fill in cost and price where the source did not report a cost: the enricher, inside the ingest transaction.

    A reported cost of 0 for tokens is unknown (clients without a price list send it).
    """
    connection = db.session().connection()
    prices = pricer(connection, signals)
    filled = [_fill_in(prices, signal) for signal in signals]
    remember(connection, prices.used.values())
    return filled


def estimate(usage: TokenUsage) -> Price | None:
    """Return what a usage costs, without writing anything: the hook `pilothouse_price`."""
    return pricer(db.session().connection(), [usage]).price(usage)


def remember(connection: Connection, used: Iterable[BookPrice]) -> None:
    """Keep the prices of the book that were used: rows name them, also when the book is replaced by a newer one."""
    prices = {price.id: price for price in used}
    known = known_ids(connection, _PRICES, sorted(prices))
    insert_ignore(connection, _PRICES, [_kept(price) for key, price in sorted(prices.items()) if key not in known])


def check_file(value: str) -> str:
    """Read the setting PILOTHOUSE_PRICES_FILE. Raises ValueError where there is no such file."""
    if value and not Path(value).is_file():
        raise ValueError("must name a price list in the format of genai-prices")
    return value


def _fill_in(prices: Pricer, signal: TokenUsage) -> TokenUsage:
    reported = None if signal.cost_usd is None else parse_usd(signal.cost_usd)
    if reported or (reported == 0 and not signal.prompt_tokens and not signal.completion_tokens):
        return msgspec.structs.replace(signal, cost_reported=reported, price_id=None)
    priced = prices.price(signal)
    cost = None if priced is None else to_usd(priced.cost_nano)
    price_id = None if priced is None else priced.price_id
    return msgspec.structs.replace(signal, cost_usd=cost, cost_reported=None, price_id=price_id)


def _price(compiled: Compiled, price_id: str, call: Any) -> Price | None:
    cost = compiled.cost(call)
    return None if cost is None or cost > MOST_COST else Price(cost, price_id)


def _own_prices(connection: Connection, names: Sequence[str]) -> dict[str, list[OwnPrice]]:
    """Return own prices by model in lower case, the newest start first; those of one provider before those of all."""
    statement = in_list_sql(connection, _PRICES, _OWN_COLUMNS, "lookup") + f" AND source = '{OWN}' AND ended_at IS NULL"
    found: dict[str, list[OwnPrice]] = {}
    for key, lookup, provider, valid_from, rates in connection.exec_driver_sql(statement, (in_list(connection, names),)):
        found.setdefault(lookup, []).append(OwnPrice(key, provider, valid_from, compile_rates(read_rates(rates))))
    for prices in found.values():
        prices.sort(key=lambda price: (price.provider is None, -price.valid_from, price.id))
    return found


def _kept(price: BookPrice) -> dict[str, Any]:
    return {
        "id": price.id,
        "provider": price.provider,
        "model": price.model,
        "lookup": price.model.lower(),
        "source": price.source,
        "valid_from": price.valid_from,
        "rates": write_rates(price.rates),
        "created_at": now(),
        "created_by": None,
        "ended_at": None,
    }
