"""Acting on prices and usage: setting and removing prices, deleting what is old. Writes inside the caller's unit of work."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from pilothouse.sdk import NotFound, Principal, after_commit, audit, db, lock_writers, new_id, now, publish, runtime
from pilothouse_tokens import repricing
from pilothouse_tokens.book import find_price
from pilothouse_tokens.events import PriceChanged
from pilothouse_tokens.models import TokenPrice, TokenUsageRow, UnpricedModel
from pilothouse_tokens.pricing import OWN, PRICES_FILE
from pilothouse_tokens.rates import Rates, write_rates

TOPIC = "tokens"


def set_price(
    model: str, rates: Rates, principal: Principal, *, valid_from: int | None = None, provider: str | None = None
) -> TokenPrice:
    """Set the price of a model from a moment (ms) on and price the past again where it holds.

    Left out, it holds from the beginning for a model that nothing has priced so far, else from now on: a price that is
    known is not rewritten by accident. A price with the same start and provider is replaced.
    """
    session = db.session()
    lock_writers(session.connection())
    start = valid_from if valid_from is not None else _default_start(model, provider)
    provider = provider.lower() if provider else None
    for old in _own(model):
        if (old.valid_from, old.provider) == (start, provider):
            old.ended_at = now()
    price = TokenPrice(
        id=new_id(), provider=provider, model=model, lookup=model.lower(), source=OWN, valid_from=start,
        rates=write_rates(rates), created_at=now(), created_by=principal.called, ended_at=None,
    )  # fmt: skip
    session.add(price)
    audit("price.set", f"price:{model}", detail={"valid_from": start, "price_id": price.id})
    publish(PriceChanged(model=model, occurred_at=start or now()))  # charts have no beginning of time
    repricing.start(model, start, principal)
    _changed()
    return price


def remove_price(model: str, principal: Principal) -> None:
    """Remove all own prices of a model; its usage goes back to the book's price, or is unpriced. Raises NotFound."""
    lock_writers(db.session().connection())
    prices = _own(model)
    if not prices:
        raise NotFound(f"There is no price of your own for {model}.")
    for price in prices:
        price.ended_at = now()
    audit("price.removed", f"price:{model}", detail={"price_ids": [price.id for price in prices]})
    publish(PriceChanged(model=model))
    repricing.start(model, min(price.valid_from for price in prices), principal)
    _changed()


def expire(before: int, most: int) -> int:
    """Delete up to `most` of the oldest usage rows from before a moment (ms); returns how many. Their sums stay."""
    session = db.session()
    oldest = select(TokenUsageRow.seq).where(TokenUsageRow.at < before).order_by(TokenUsageRow.at).limit(most)
    numbers = list(session.scalars(oldest))
    if numbers:
        session.execute(delete(TokenUsageRow).where(TokenUsageRow.seq.in_(numbers)))
    return len(numbers)


def _default_start(model: str, provider: str | None) -> int:
    unpriced = db.session().scalar(select(UnpricedModel.model).where(UnpricedModel.lookup == model.lower()).limit(1))
    if unpriced is not None:
        return 0
    known = _own(model) or find_price(model, now(), provider=provider, file=runtime().settings[PRICES_FILE])
    return now() if known else 0


def _own(model: str) -> Sequence[TokenPrice]:
    own = (TokenPrice.lookup == model.lower(), TokenPrice.source == OWN, TokenPrice.ended_at.is_(None))
    return db.session().scalars(select(TokenPrice).where(*own)).all()


def _changed() -> None:
    after_commit(lambda: runtime().changes.bump(TOPIC))
