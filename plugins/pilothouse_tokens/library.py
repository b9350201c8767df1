"""What `genai-prices` knows, offline, turned into rates once for each model, day and service tier; `book` asks here.

The library takes 0.12 ms a call; resolved rates take about a microsecond and agree with it to the last nano-dollar,
because they are found by asking it: its cost is linear in each kind of token within a tier of prompt length, so a few
calls give every coefficient. A test compares the two over all of its models.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import genai_prices
import msgspec
from genai_prices import data_snapshot, types

from pilothouse.sdk import to_datetime
from pilothouse_tokens.book import BookPrice
from pilothouse_tokens.rates import compile_rates, rates_of

PROVIDERS = {
    "azure.ai.inference": "azure", "gcp.gen_ai": "google", "grok": "x-ai", "togetherai": "together", "x_ai": "x-ai",
}  # fmt: skip
# Names of providers that the library does not know, out of OpenTelemetry's list and of LiteLLM's.
LOCAL = frozenset({
    "hosted_vllm", "llama.cpp", "llamacpp", "llamafile", "lm_studio", "lmstudio", "local", "localai", "ollama", "ollama_chat",
    "self-hosted", "vllm",
})  # fmt: skip
# Own machines: whoever sells a model of the same name says nothing about their cost.
PREFIXES = {
    "azure_ai": "azure", "bedrock": "aws", "cohere_chat": "cohere", "fireworks_ai": "fireworks", "gemini": "google",
    "moonshot": "moonshotai", "together_ai": "together", "vertex_ai": "google", "voyage": "voyageai", "xai": "x-ai",
}  # fmt: skip
# What LiteLLM, and what is built on it, put before a model's name to say whose it is, where that is not the seller's id.
BEDROCK = re.compile(r"(?:[a-z]{2,6}(?:-gov)?\.)?(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen|writer)\.")
# How Bedrock names models: by maker, and before it where they run. Strands and others tell themselves as the provider.
BEDROCK_SELLER = "aws"
RESOURCE = "models/"  # what Google's names of resources have before the model's: publishers/google/models/gemini-2.5-flash
MAKERS = ("openai", "anthropic", "google", "mistral", "cohere", "deepseek", "x-ai", "voyageai")
# Where a model without a provider is looked up by its exact name: the library finds no provider for embeddings.
HALF_BATCH = frozenset({"anthropic", "aws", "azure", "google", "groq", "mistral", "openai"})
# Providers that bill batches at half; the library has that for some of their models and else takes the full price.
KINDS = {
    "prompt": "input_tokens", "completion": "output_tokens", "cached": "cache_read_tokens",
    "cache_write": "cache_write_tokens", "cache_write_1h": "cache_write_1h_tokens", "reasoning": "output_reasoning_tokens",
}  # fmt: skip
KEPT = 8_192  # resolved rates in memory, about 1 KB each
WHOLE_DAY = -1


@dataclass(frozen=True, slots=True)
class _Found:
    provider: types.Provider
    model: types.ModelInfo
    by_hour: bool


def find_price(
    model: str, at: int, *, provider: str | None = None, tier: str | None = None, file: str = ""
) -> BookPrice | None:
    """Return the price of a model at a moment (ms); None where the book does not know it.

    `tier` is the service tier that the provider answered with ("flex", "priority", "batch"). `file` is a newer price list
    in the library's format, read in place of the one that it ships.
    """
    provider = provider.strip().lower() if provider else None
    version = _version(file)
    found = _find(provider, model.lower(), file, version)
    if found is None:
        return None
    moment = to_datetime(at)
    minute = moment.hour * 60 + moment.minute if found.by_hour else WHOLE_DAY
    return _resolve(provider, model.lower(), (file, version), (moment.toordinal(), minute, (tier or "").lower()))


def all_models(file: str = "") -> tuple[tuple[str, str], ...]:
    """Return every model of the book as (provider, model), sorted."""
    return _all_models(file, _version(file))


def price_of(provider: str, model: str, at: int, file: str = "") -> BookPrice:
    """Return the price at a moment (ms) of a model that `all_models` names."""
    return _listed_price(provider, model, to_datetime(at).toordinal(), (file, _version(file)))


@lru_cache(maxsize=2)
def _all_models(file: str, version: int) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({(p.id, model.id) for p in _snapshot(file, version).providers for model in p.models}))


@lru_cache(maxsize=KEPT)
def _listed_price(provider: str, model: str, day: int, file: tuple[str, int]) -> BookPrice:
    seller = next(p for p in _snapshot(*file).providers if p.id == provider)
    info = next(m for m in seller.models if m.id == model)
    moment = datetime.combine(date.fromordinal(day), time(), UTC)
    return _price(_Found(seller, info, by_hour=False), moment, "", file[0])


def _version(file: str) -> int:
    """Return a number that changes with the file, so that what was resolved from an older one is not used."""
    return Path(file).stat().st_mtime_ns if file else 0


@lru_cache(maxsize=2)
def _snapshot(file: str, _version: int) -> data_snapshot.DataSnapshot:
    if not file:
        return data_snapshot.get_snapshot()
    raw = json.loads(Path(file).read_bytes(), parse_float=Decimal)
    return data_snapshot.DataSnapshot(types._providers_from_raw(raw), from_auto_update=False)  # noqa: SLF001 - the library's own reader of its list


@lru_cache(maxsize=KEPT)
def _find(provider: str | None, model: str, file: str, version: int) -> _Found | None:
    """Look a model up as it is named; where nobody sells that, without what stands before its name."""
    snapshot = _snapshot(file, version)
    found = _find_named(provider, model, snapshot)
    if found is None and provider not in LOCAL:
        shorter = (_find_named(*names, snapshot) for names in _shorter(provider, model, snapshot))
        found = next((one for one in shorter if one is not None), None)
    return found


def _shorter(provider: str | None, model: str, snapshot: data_snapshot.DataSnapshot) -> list[tuple[str | None, str]]:
    """Return the provider and model that a name in parts may stand for (`openai/gpt-4o-mini`), the best guess first.

    The provider that was told counts before the one in the name: who resells keeps the maker's names.
    """
    before, _, rest = model.partition("/")
    if RESOURCE in model:
        return [(provider, model.rpartition(RESOURCE)[2])]
    seller = PREFIXES.get(before, before)
    if before in LOCAL or not rest or all(known.id != seller for known in snapshot.providers):
        return []
    return [*([(provider, rest)] if provider else []), (seller, rest)]


def _find_named(provider: str | None, model: str, snapshot: data_snapshot.DataSnapshot) -> _Found | None:
    """Look a model up at its provider; where that is none that sells models, by the model's name alone."""
    for name in ([PROVIDERS.get(provider, provider)] if provider else []) + ([None] if provider not in LOCAL else []):
        try:
            return _found(*snapshot.find_provider_model(model, None, name, None))
        except LookupError:
            if name is not None and data_snapshot.find_provider_by_id(snapshot.providers, name) is not None:
                return None  # a provider that is known and does not sell this model
    if provider in LOCAL:
        return None
    of_bedrock = BEDROCK.match(model) is not None and provider != BEDROCK_SELLER
    return _find_named(BEDROCK_SELLER, model, snapshot) if of_bedrock else _by_exact_name(model, snapshot)


def _by_exact_name(model: str, snapshot: data_snapshot.DataSnapshot) -> _Found | None:
    for name in MAKERS:
        maker = data_snapshot.find_provider_by_id(snapshot.providers, name)
        for info in maker.models if maker is not None else ():
            if maker is not None and info.id.lower() == model:
                return _found(maker, info)
    return None


def _found(provider: types.Provider, model: types.ModelInfo) -> _Found:
    conditions: list[Any] = list(model.price_variants or ())
    conditions += [] if isinstance(model.prices, types.ModelPrice) else model.prices
    return _Found(provider, model, any(isinstance(c.constraint, types.TimeOfDateConstraint) for c in conditions))


@lru_cache(maxsize=KEPT)
def _resolve(provider: str | None, model: str, file: tuple[str, int], when: tuple[int, int, str]) -> BookPrice:
    day, minute, tier = when
    found = _find(provider, model, *file)
    assert found is not None  # noqa: S101 - `find_price` has asked before
    hour, minute = divmod(max(minute, 0), 60)
    return _price(found, datetime.combine(date.fromordinal(day), time(hour, minute), UTC), tier, file[0])


def _price(found: _Found, moment: datetime, tier: str, file: str) -> BookPrice:
    context = {"service_tier": tier, "processing": tier, "speed": tier} if tier else None
    half = tier == "batch" and found.provider.id in HALF_BATCH and not _has_batches(found.model)
    factor = Decimal("0.5") if half else Decimal(1)
    prices = found.model.get_prices(moment, context)
    starts = sorted({t.start for p in prices.__dict__.values() if isinstance(p, types.TieredPrices) for t in p.tiers})
    rates = rates_of({start: _coefficients(found, moment, context, (start, factor)) for start in (0, *starts)})
    source = f"genai-prices {genai_prices.__version__}" if not file else Path(file).name
    valid_from = _valid_from(found.model, moment)
    named = [found.provider.id, found.model.id, source, valid_from, msgspec.to_builtins(rates)]
    digest = hashlib.sha256(msgspec.json.encode(named)).hexdigest()[:32]
    return BookPrice(f"book-{digest}", found.provider.id, found.model.id, source, valid_from, rates, compile_rates(rates))


def _coefficients(
    found: _Found, moment: datetime, context: dict[str, str] | None, tier: tuple[int, Decimal]
) -> dict[str, Decimal]:
    """Ask the library what one token more of each kind costs, for prompts longer than the tier's start."""
    start, factor = tier
    base = {"prompt": start + 8, "completion": 2, "cached": 1, "cache_write": 2, "cache_write_1h": 1, "reasoning": 1}

    def cost(counts: dict[str, int]) -> Decimal:
        usage = genai_prices.Usage(**{KINDS[kind]: count for kind, count in counts.items()})
        answer = found.model.calc_price(usage, found.provider, genai_request_timestamp=moment, price_context=context)
        return answer.total_price * factor

    whole = cost(base)
    more = {kind: cost({**base, kind: count + 1}) - whole for kind, count in base.items()}
    return {**more, "request": whole - sum((more[kind] * count for kind, count in base.items()), Decimal(0))}


def _has_batches(model: types.ModelInfo) -> bool:
    return any(variant.when.get("processing") == "batch" for variant in model.price_variants or ())


def _valid_from(model: types.ModelInfo, moment: datetime) -> int:
    """Return since when (ms) the price that holds at a moment has held; 0 where the book does not say."""
    if isinstance(model.prices, types.ModelPrice):
        return 0
    for price in reversed(model.prices):
        if price.constraint is None or price.constraint.active(moment):
            started = getattr(price.constraint, "start_date", None)
            return int(datetime.combine(started, time(), UTC).timestamp()) * 1000 if started else 0
    return 0
