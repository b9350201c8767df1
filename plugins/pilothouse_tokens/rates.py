"""What a price says, and the cost of a call by it, in whole numbers.

Rates are dollars a million tokens as decimal text, by the length of the prompt: a call longer than a tier's `above` pays
that tier's rates for all of its tokens, as providers bill. Cached and cache-write tokens are part of the prompt, reasoning
tokens part of the completion: each pays its own rate in place of the whole's.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

PARTS = 10**15  # parts of a nano-dollar: the book has dollars a token with up to 22 decimals
HOUR_US = 3_600_000_000  # microseconds
MILLION = Decimal(1_000_000)


class TierRates(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars a million tokens for prompts longer than `above` tokens, and dollars a request."""

    above: int = 0
    input: str
    output: str
    cached: str
    cache_write: str
    cache_write_1h: str
    reasoning: str
    request: str = "0"


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """All that a price says: tiers from the shortest prompt up, and dollars an hour for models on own machines."""

    tiers: tuple[TierRates, ...]
    hour: str | None = None


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What one token more costs, in parts of a nano-dollar; parts of a whole cost their rate less the whole's."""

    request: int
    prompt: int
    completion: int
    cached: int
    cache_write: int
    cache_write_1h: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """Rates ready for sums: `tiers[i]` holds for prompts longer than `starts[i - 1]` and at most `starts[i]`."""

    starts: tuple[int, ...]
    tiers: tuple[Coefficients, ...]
    hour: int

    def cost(self, call: Any) -> int | None:
        """Return what a call costs in nano-dollars, rounded half-even; None where its duration is needed and not known.

        `call` has the token counts of a `TokenUsage` signal and `latency_ms`.
        """
        c = self.tiers[bisect_left(self.starts, call.prompt_tokens)]
        parts = c.request + c.prompt * call.prompt_tokens + c.completion * call.completion_tokens
        parts += c.cached * (call.cached_tokens or 0) + c.cache_write * (call.cache_write_tokens or 0)
        parts += c.cache_write_1h * (call.cache_write_1h_tokens or 0) + c.reasoning * (call.reasoning_tokens or 0)
        if self.hour:
            if call.latency_ms is None:
                return None
            parts += self.hour * round(call.latency_ms * 1000) // HOUR_US
        return _half_even(parts)


def compile_rates(rates: Rates) -> Compiled:
    """Make rates ready for sums."""
    return Compiled(
        tuple(tier.above for tier in rates.tiers[1:]),
        tuple(_coefficients(tier) for tier in rates.tiers),
        _parts(Decimal(rates.hour)) if rates.hour else 0,
    )


def rates_of(coefficients: dict[int, dict[str, Decimal]]) -> Rates:
    """Make rates out of dollars a token by tier: `prompt`, `completion`, `request`, and what parts cost more or less."""
    return Rates(tiers=tuple(_tier_of(above, c) for above, c in sorted(coefficients.items())))


def write_rates(rates: Rates) -> str:
    """Write rates as the JSON that the price table keeps."""
    return msgspec.json.encode(rates).decode()


def read_rates(text: str) -> Rates:
    """Read rates out of the price table."""
    return msgspec.json.decode(text, type=Rates)


def _tier_of(above: int, c: dict[str, Decimal]) -> TierRates:
    cache_write = c["prompt"] + c["cache_write"]
    return TierRates(
        above=above,
        input=_per_million(c["prompt"]),
        output=_per_million(c["completion"]),
        cached=_per_million(c["prompt"] + c["cached"]),
        cache_write=_per_million(cache_write),
        cache_write_1h=_per_million(cache_write + c["cache_write_1h"]),
        reasoning=_per_million(c["completion"] + c["reasoning"]),
        request=format(c["request"].normalize(), "f"),
    )


def _per_million(dollars_a_token: Decimal) -> str:
    return format((dollars_a_token * MILLION).normalize(), "f")


def _coefficients(tier: TierRates) -> Coefficients:
    rate = {name: Decimal(getattr(tier, name)) / MILLION for name in ("input", "output", "cached", "cache_write",
                                                                     "cache_write_1h", "reasoning")}  # fmt: skip
    return Coefficients(
        request=_parts(Decimal(tier.request)),
        prompt=_parts(rate["input"]),
        completion=_parts(rate["output"]),
        cached=_parts(rate["cached"] - rate["input"]),
        cache_write=_parts(rate["cache_write"] - rate["input"]),
        cache_write_1h=_parts(rate["cache_write_1h"] - rate["cache_write"]),
        reasoning=_parts(rate["reasoning"] - rate["output"]),
    )


def _parts(dollars: Decimal) -> int:
    return int((dollars * PARTS).scaleb(9).to_integral_value())


def _half_even(parts: int) -> int:
    nano, rest = divmod(parts, PARTS)
    if 2 * rest > PARTS or (2 * rest == PARTS and nano % 2):
        nano += 1
    return nano
