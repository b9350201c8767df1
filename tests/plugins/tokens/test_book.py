"""The price book agrees with the library that it comes from, and knows what the library does not say."""

from __future__ import annotations

import ast
import json
import random
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import genai_prices
import pytest
from genai_prices import data_snapshot

from pilothouse.clock import to_millis
from pilothouse_tokens import book, library

LENGTHS = (0, 1, 1_000, 128_000, 128_001, 199_999, 200_000, 200_001, 272_001, 1_000_000)
MOMENTS = (datetime(2025, 3, 1, 20, 30, tzinfo=UTC), datetime(2026, 11, 26, 3, tzinfo=UTC))
NOW = to_millis(MOMENTS[1])


def call(counts):
    ours = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "cache_read_tokens": "cached_tokens",
            "output_reasoning_tokens": "reasoning_tokens"}  # fmt: skip
    return SimpleNamespace(latency_ms=None, **{ours.get(name, name): count for name, count in counts.items()})


def counts_for(dice):
    prompt, completion = dice.choice(LENGTHS), dice.randint(0, 5_000)
    cached = dice.randint(0, prompt)
    written = dice.randint(0, prompt - cached)
    return {
        "input_tokens": prompt, "output_tokens": completion, "cache_read_tokens": cached, "cache_write_tokens": written,
        "cache_write_1h_tokens": dice.randint(0, written), "output_reasoning_tokens": dice.randint(0, completion),
    }  # fmt: skip


def theirs(provider, model, counts, moment, context=None):
    usage = genai_prices.Usage(**counts)
    return model.calc_price(usage, provider, genai_request_timestamp=moment, price_context=context).total_price


def test_every_model_of_the_library_costs_the_same_to_a_nano_dollar():
    dice = random.Random(26)
    for provider, model in ((p, m) for p in data_snapshot.get_snapshot().providers for m in p.models):
        moment = dice.choice(MOMENTS)
        price = library._price(library._found(provider, model), moment, "", "")
        for counts in (counts_for(dice), counts_for(dice)):
            exact = theirs(provider, model, counts, moment)
            ours = Decimal(price.compiled.cost(call(counts))).scaleb(-9)
            assert abs(ours - exact) < Decimal("1E-9"), (provider.id, model.id, counts)


@pytest.mark.parametrize(("tier", "context"), [("flex", {"service_tier": "flex"}), ("priority", {"service_tier": "priority"}),
                                               ("batch", {"processing": "batch"})])  # fmt: skip
def test_service_tiers_cost_what_the_library_says(tier, context):
    counts = counts_for(random.Random(1))
    provider, model = data_snapshot.get_snapshot().find_provider_model("gpt-5", None, "openai", None)
    price = book.find_price("gpt-5", NOW, provider="openai", tier=tier)
    exact = theirs(provider, model, counts, MOMENTS[1], context)
    if tier == "batch" and not library._has_batches(model):
        exact /= 2
    assert abs(Decimal(price.compiled.cost(call(counts))).scaleb(-9) - exact) < Decimal("1E-9")
    assert price.id != book.find_price("gpt-5", NOW, provider="openai").id


def test_batches_cost_half_where_the_library_takes_the_full_price():
    full = book.find_price("gpt-4o-mini", NOW, provider="openai")
    half = book.find_price("gpt-4o-mini", NOW, provider="openai", tier="batch")
    assert Decimal(half.rates.tiers[0].input) * 2 == Decimal(full.rates.tiers[0].input)


def test_an_old_day_has_its_old_price():
    before = book.find_price("o3", to_millis(datetime(2025, 5, 1, tzinfo=UTC)))
    after = book.find_price("o3", NOW)
    assert (before.rates.tiers[0].input, after.rates.tiers[0].input) == ("10", "2")
    assert (before.valid_from, after.valid_from > 0) == (0, True)


def test_prices_by_the_hour_of_the_day_are_found():
    def price_at(hour):
        return book.find_price("deepseek-chat", to_millis(datetime(2025, 3, 1, hour, tzinfo=UTC)), provider="deepseek")

    assert price_at(20).rates != price_at(12).rates


def test_a_tier_of_prompt_length_is_part_of_the_price():
    starts = [tier.above for tier in book.find_price("gemini-2.5-pro", NOW).rates.tiers]
    assert starts == [0, 200_000]


@pytest.mark.parametrize("provider", ["OpenAI", "openai.chat", "litellm", "azure_openai", None])
def test_names_of_providers_as_clients_send_them_are_understood(provider):
    assert book.find_price("gpt-4o-2024-08-06", NOW, provider=provider).rates.tiers[0].input == "2.5"


@pytest.mark.parametrize(("model", "provider"), [
    ("nobody-knows", None), ("nobody-knows", "openai"), ("gpt-4o", "anthropic"), ("gpt-oss-120b", "ollama"),
    ("llama3:8b", "vllm"), ("ollama/gpt-oss-120b", None), ("hosted_vllm/gpt-4o", "openai"), ("acme/gpt-4o", "openai"),
    ("openai/" * 2_000 + "gpt-4o", "openai"), ("openai/", None), ("/gpt-4o", "openai"), ("models/", None),
])  # fmt: skip
def test_unknown_is_unknown(model, provider):
    assert book.find_price(model, NOW, provider=provider) is None


@pytest.mark.parametrize(("model", "provider", "seller", "known_as"), [
    ("openai/gpt-4o-mini", None, "openai", "gpt-4o-mini"), ("openai/gpt-4o-mini", "openai", "openai", "gpt-4o-mini"),
    ("openai/gpt-4o-mini", "azure", "azure", "gpt-4o-mini"), ("anthropic/claude-haiku-4-5", "crewai", "anthropic", "claude-haiku-4-5"),
    ("openai/gpt-4o-mini", "openrouter", "openrouter", "openai/gpt-4o-mini"),
    ("openrouter/openai/gpt-4o-mini", None, "openrouter", "openai/gpt-4o-mini"),
    ("gemini/gemini-2.5-flash", None, "google", "gemini-2.5-flash"), ("models/gemini-2.5-flash", None, "google", "gemini-2.5-flash"),
    ("projects/p/locations/l/publishers/google/models/gemini-2.5-flash", "vertex_ai", "google", "gemini-2.5-flash"),
    ("groq/llama-3.3-70b-versatile", "openai", "groq", "llama-3.3-70b-versatile"),
    ("us.anthropic.claude-3-haiku-20240307-v1:0", "strands-agents", "aws", "regional.anthropic.claude-3-haiku-20240307-v1:0"),
    ("amazon.nova-lite-v1:0", None, "aws", "amazon.nova-lite-v1:0"),
])  # fmt: skip
def test_a_name_may_say_whose_the_model_is(model, provider, seller, known_as):
    found = book.find_price(model, NOW, provider=provider)
    assert (found.provider, found.model) == (seller, known_as)


def test_embeddings_are_found_without_a_provider():
    found = book.find_price("text-embedding-3-small", NOW)
    assert (found.provider, found.rates.tiers[0].input) == ("openai", "0.02")


def test_the_same_price_has_the_same_name_every_day():
    assert book.find_price("gpt-4o", NOW).id == book.find_price("gpt-4o", NOW - 86_400_000).id


def test_every_model_is_listed_once():
    names = book.all_models()
    assert len(names) == len(set(names)) > 2_000
    assert book.price_of("openai", "gpt-4o", NOW).id == book.find_price("gpt-4o", NOW, provider="openai").id


def test_a_newer_list_is_read_from_a_file(tmp_path):
    file = tmp_path / "prices.json"
    model = {"id": "brand-new", "match": {"equals": "brand-new"}, "prices": {"input_mtok": 3, "output_mtok": 9}}
    provider = {"id": "acme", "name": "Acme", "api_pattern": "acme", "model_match": {"equals": "brand-new"}, "models": [model]}
    file.write_text(json.dumps([provider]))
    found = book.find_price("brand-new", NOW, file=str(file))
    assert (found.rates.tiers[0].output, found.source) == ("9", "prices.json")
    assert book.find_price("brand-new", NOW) is None
    assert book.find_price("anthropic.claude-3-haiku-20240307-v1:0", NOW, file=str(file)) is None


def test_nothing_loads_the_library_before_the_first_question():
    folder = Path(book.__file__).parent
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")}
    imports = {
        (name, f"{getattr(node, 'module', None)}.{alias.name}")
        for name, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name for name, imported in imports if re.search("genai_prices|library", imported)} == {"library.py"}
