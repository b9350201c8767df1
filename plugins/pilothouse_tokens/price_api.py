"""The HTTP endpoints of prices: the list, setting and removing one's own, pricing the past again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    NANO,
    ApiBlueprint,
    FieldError,
    Invalid,
    Limit,
    Moment,
    Page,
    now,
    parse_usd,
    read_cursor,
    require,
    runtime,
    to_rfc3339,
    to_usd,
    write_cursor,
)
from pilothouse_tokens import book, queries, repricing, service
from pilothouse_tokens.models import Repricing, TokenPrice
from pilothouse_tokens.permissions import PRICES, VIEW
from pilothouse_tokens.pricing import PRICES_FILE
from pilothouse_tokens.rates import Rates, TierRates, read_rates

MOST_A_MILLION = 1_000_000 * NANO  # dollars a million tokens; beyond it a slip of the decimal point is likelier

Amount = Annotated[str, msgspec.Meta(max_length=40)] | float | int
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class PricesQuery(msgspec.Struct, frozen=True):
    """A part of the model's name, and the page."""

    q: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class TierBody(msgspec.Struct, frozen=True):
    """Rates of prompts longer than `above_prompt_tokens`."""

    above_prompt_tokens: Annotated[int, msgspec.Meta(ge=1, le=10**9)]
    input_usd_per_million: Amount
    output_usd_per_million: Amount
    cached_usd_per_million: Amount | None = None
    cache_write_usd_per_million: Amount | None = None
    cache_write_1h_usd_per_million: Amount | None = None
    reasoning_usd_per_million: Amount | None = None


class PriceBody(msgspec.Struct, frozen=True):
    """A price. Cached and cache-write tokens cost as input where left out, reasoning as output.

    `input_usd_per_million` and `output_usd_per_million` may be left out only where a request or an hour has a price.
    Models on own machines have `usd_per_hour`, which a call pays for as long as it took (`latency_ms`). `valid_from` left
    out means from the beginning for a model without any price so far, else from now.
    """

    input_usd_per_million: Amount | None = None
    output_usd_per_million: Amount | None = None
    cached_usd_per_million: Amount | None = None
    cache_write_usd_per_million: Amount | None = None
    cache_write_1h_usd_per_million: Amount | None = None
    reasoning_usd_per_million: Amount | None = None
    usd_per_request: Amount | None = None
    usd_per_hour: Amount | None = None
    tiers: Annotated[list[TierBody], msgspec.Meta(max_length=10)] = []
    provider: ModelName | None = None
    valid_from: Moment | None = None


class TierRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of prompts longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    input_usd_per_million: str
    output_usd_per_million: str
    cached_usd_per_million: str
    cache_write_usd_per_million: str
    cache_write_1h_usd_per_million: str
    reasoning_usd_per_million: str


class PriceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A price; `source` is `own` or the price book with its version, `valid_from` null from the beginning."""

    id: str
    model: str
    provider: str | None
    source: str
    input_usd_per_million: str
    output_usd_per_million: str
    cached_usd_per_million: str
    cache_write_usd_per_million: str
    cache_write_1h_usd_per_million: str
    reasoning_usd_per_million: str
    usd_per_request: str
    usd_per_hour: str | None
    tiers: list[TierRecord]
    valid_from: str | None
    created_at: str | None
    created_by: str | None


class RepriceBody(msgspec.Struct, frozen=True):
    """Which usage to price again: of one model or of all, from a moment on."""

    model: ModelName | None = None
    since: Moment | None = None


class RepricingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run of pricing the past again; `difference_usd` is what it added to the cost, `finished_at` null while it runs."""

    id: str
    model: str | None
    since: str
    examined: int
    changed: int
    difference_usd: str
    created_at: str
    created_by: str | None
    finished_at: str | None


def add_routes(bp: ApiBlueprint) -> None:
    """Add the routes of prices to the plugin's blueprint."""
    bp.get("/tokens/prices", permission=VIEW)(list_prices)
    bp.put("/tokens/prices/<path:model>", permission=PRICES)(set_price)
    bp.delete("/tokens/prices/<path:model>", permission=PRICES)(remove_price)
    bp.post("/tokens/reprice", permission=PRICES, status=202)(reprice)
    bp.get("/tokens/repricings", permission=VIEW)(list_repricings)


def list_prices(query: PricesQuery) -> Page[PriceRecord]:
    """List the prices that hold: your own ones, newest first, then those of the price book by provider and model."""
    wanted = (query.q or "").lower()
    after = read_cursor(query.cursor) if query.cursor else None
    found = list(_own_prices(wanted, query.limit + 1, after)) if after is None or after[0] else []
    found += _book_prices(wanted, query.limit + 1 - len(found), after if after is not None and not after[0] else None)
    if len(found) <= query.limit:
        return Page([record for _, record in found])
    return Page([record for _, record in found[: query.limit]], write_cursor(*found[query.limit - 1][0]))


def set_price(model: str, body: PriceBody) -> PriceRecord:
    """Set the price of a model from a moment on; what was unpriced before, or priced otherwise since then, is priced anew."""
    if not 1 <= len(model) <= 255:  # noqa: PLR2004 - as long as a model's name may be
        raise Invalid.field("model", "must have 1 to 255 characters")
    rates = read_price(body)
    return own_record(service.set_price(model, rates, require(PRICES), valid_from=body.valid_from, provider=body.provider))


def remove_price(model: str) -> None:
    """Remove your own prices of a model; its usage is priced by the book again, or unpriced."""
    service.remove_price(model, require(PRICES))


def reprice(body: RepriceBody) -> RepricingRecord:
    """Price the past again by the prices that hold now, in the background."""
    return repricing_record(repricing.start(body.model, body.since or 0, require(PRICES)))


def list_repricings() -> Page[RepricingRecord]:
    """List the newest runs of pricing the past again, with the difference that each made."""
    return Page([repricing_record(run) for run in queries.repricings(DEFAULT_LIMIT)])


def read_price(body: PriceBody) -> Rates:
    """Read rates out of a price. Raises Invalid with every wrong field."""
    faults: list[FieldError] = []

    def amount(path: str, value: Amount | None, default: str) -> str:
        if value is None:
            return default
        try:
            nano = parse_usd(value)
        except ValueError as fault:
            faults.append(FieldError(path, str(fault)))
            return default
        if nano > MOST_A_MILLION:
            faults.append(FieldError(path, f"must be at most {MOST_A_MILLION // NANO}"))
        return to_usd(nano)

    if body.usd_per_request is None and body.usd_per_hour is None:
        required = ("input_usd_per_million", "output_usd_per_million")
        faults += [FieldError(name, "is required") for name in required if getattr(body, name) is None]
    request = amount("usd_per_request", body.usd_per_request, "0")
    tiers = [_tier(body, "", 0, amount, request)]
    for place, tier in enumerate(body.tiers):
        if tier.above_prompt_tokens <= tiers[-1].above:
            faults.append(FieldError(f"tiers[{place}].above_prompt_tokens", "must be greater than the tier's before"))
        tiers.append(_tier(tier, f"tiers[{place}].", tier.above_prompt_tokens, amount, request))
    hour = amount("usd_per_hour", body.usd_per_hour, "0") if body.usd_per_hour is not None else None
    if faults:
        raise Invalid("; ".join(f"{fault.path}: {fault.message}" for fault in faults), faults)
    return Rates(tiers=tuple(tiers), hour=hour)


def own_record(price: TokenPrice) -> PriceRecord:
    """Return the record of a price of one's own."""
    named = {"id": price.id, "model": price.model, "provider": price.provider, "source": price.source}
    created = {"created_at": to_rfc3339(price.created_at), "created_by": price.created_by}
    return _price_record({**named, **created}, price.valid_from, read_rates(price.rates))


def repricing_record(run: Repricing) -> RepricingRecord:
    """Return the record of a run of pricing the past again."""
    return RepricingRecord(
        id=run.id, model=run.model, since=to_rfc3339(run.since), examined=run.examined, changed=run.changed,
        difference_usd=to_usd(run.difference_nano), created_at=to_rfc3339(run.created_at), created_by=run.created_by,
        finished_at=None if run.finished_at is None else to_rfc3339(run.finished_at),
    )  # fmt: skip


def _tier(body: PriceBody | TierBody, path: str, above: int, amount: Any, request: str) -> TierRates:
    def rate(name: str, default: str) -> str:
        field = f"{name}_usd_per_million"
        return str(amount(path + field, getattr(body, field), default))

    input_, output = rate("input", "0"), rate("output", "0")
    cache_write = rate("cache_write", input_)
    return TierRates(
        above=above, input=input_, output=output, cached=rate("cached", input_), cache_write=cache_write,
        cache_write_1h=rate("cache_write_1h", cache_write), reasoning=rate("reasoning", output), request=request,
    )  # fmt: skip


def _price_record(named: dict[str, Any], valid_from: int, rates: Rates) -> PriceRecord:
    first, *longer = rates.tiers
    return PriceRecord(
        **named,
        **_rates_record(first),
        usd_per_request=first.request,
        usd_per_hour=rates.hour,
        tiers=[TierRecord(above_prompt_tokens=tier.above, **_rates_record(tier)) for tier in longer],
        valid_from=to_rfc3339(valid_from) if valid_from else None,
    )


def _rates_record(tier: TierRates) -> dict[str, str]:
    names = ("input", "output", "cached", "cache_write", "cache_write_1h", "reasoning")
    return {f"{name}_usd_per_million": getattr(tier, name) for name in names}


Placed = tuple[tuple[int, str], PriceRecord]  # where the list continues after it, and the record


def _own_prices(wanted: str, limit: int, after: tuple[int, str] | None) -> Iterator[Placed]:
    while True:
        prices = queries.own_prices(limit, after)
        for price in prices:
            after = (price.created_at, price.id)
            if wanted in price.lookup:
                yield after, own_record(price)
        if len(prices) < limit:
            return


def _book_prices(wanted: str, limit: int, after: tuple[int, str] | None) -> list[Placed]:
    file = runtime().settings[PRICES_FILE]
    names = [(f"{provider}/{model}", provider, model) for provider, model in book.all_models(file)]
    listed = [name for name in names if wanted in name[0].lower() and (after is None or name[0] > after[1])]
    placed = []
    for name, provider, model in sorted(listed)[: max(limit, 0)]:
        price = book.price_of(provider, model, now(), file)
        named = {"id": price.id, "model": model, "provider": provider, "source": price.source}
        record = _price_record({**named, "created_at": None, "created_by": None}, price.valid_from, price.rates)
        placed.append(((0, name), record))
    return placed


