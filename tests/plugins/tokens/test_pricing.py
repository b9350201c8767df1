"""What usage costs when it comes in: reported, own, of the book, or unknown."""

from __future__ import annotations

import pytest

from pilothouse.clock import DAY, now
from pilothouse.runtime import runtime
from pilothouse.signals import TokenUsage
from pilothouse_tokens.pricing import check_file


def record_of(api, key):
    return next(record for record in api.get("/api/tokens/records?range=30d&limit=500").json["data"] if record["id"] == key)


def put(api, model, **fields):
    answer = api.put(f"/api/tokens/prices/{model}", json={"input_usd_per_million": 1, "output_usd_per_million": "2", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_a_known_model_is_priced_and_names_its_price(api, usage, rows):
    api.send(usage("u1"))
    found = record_of(api, "u1")
    assert found["cost_usd"] == "0.003500000"
    [price] = rows(f"SELECT provider, model, source FROM token_prices WHERE id = '{found['price_id']}'")
    assert (price["provider"], price["model"]) == ("openai", "gpt-4o")
    assert price["source"].startswith("genai-prices")


def test_cached_tokens_cost_their_own_rate(api, usage):
    api.send(usage("u1", cached_tokens=1000, completion_tokens=0))
    assert record_of(api, "u1")["cost_usd"] == "0.001250000"


def test_the_answered_name_is_priced_before_the_asked_one(api, usage):
    api.send(usage("u1", model="gpt-4o-mini", request_model="gpt-4o"), usage("u2", model="our-alias", request_model="gpt-4o"))
    assert [record_of(api, key)["cost_usd"] for key in ("u1", "u2")] == ["0.000210000", "0.003500000"]


def test_a_reported_cost_stays(api, usage, totals):
    api.send(usage("u1", cost_usd="0.0123456785"), usage("u2", cost_usd=0.5))
    found = record_of(api, "u1")
    assert (found["cost_usd"], found["cost_reported"], found["price_id"]) == ("0.012345678", "0.012345678", None)
    assert totals(api)["cost_usd"] == "0.512345678"


def test_a_reported_cost_of_nothing_for_tokens_is_unknown(api, usage):
    api.send(usage("u1", cost_usd="0"), usage("u2", cost_usd=0, model="nobody-knows"))
    assert [record_of(api, key)["cost_usd"] for key in ("u1", "u2")] == ["0.003500000", None]


def test_a_reported_cost_of_nothing_for_nothing_is_nothing(api, usage):
    api.send(usage("u1", cost_usd=0, model="nobody-knows", prompt_tokens=0, completion_tokens=0))
    assert record_of(api, "u1")["cost_usd"] == "0.000000000"


def test_an_unknown_model_is_unpriced_never_free(api, usage, totals, lines):
    api.send(usage("u1", model="nobody-knows", execution_id="e1"), usage("u2"))
    assert record_of(api, "u1")["cost_usd"] is None
    assert (lines(api, "model")["nobody-knows"]["cost_usd"], totals(api)["unpriced_records"]) == (None, 1)
    assert totals(api)["cost_usd"] == "0.003500000"
    execution = api.get("/api/executions/e1").json
    assert (execution["cost_usd"], execution["token_usage"]["cost_usd"]) == (None, None)
    assert execution["token_usage"]["unpriced_records"] == 1


def test_a_batch_and_the_wire_agree_on_executions(api, usage):
    api.send(*(usage(f"u{n}", execution_id="e1") for n in range(3)))
    assert api.get("/api/executions/e1").json["cost_usd"] == "0.010500000"


def test_an_own_price_goes_before_the_book(api, usage):
    put(api, "gpt-4o", valid_from=now() - DAY)
    api.send(usage("u1"), usage("u2", at=now() - 2 * DAY), usage("u3", model="GPT-4o"))
    assert [record_of(api, key)["cost_usd"] for key in ("u1", "u2", "u3")] == ["0.001200000", "0.003500000", "0.001200000"]


def test_of_two_own_prices_the_one_that_held_at_the_time_counts(api, usage):
    put(api, "ours", valid_from=now() - 9 * DAY)
    put(api, "ours", valid_from=now() - DAY, input_usd_per_million=5)
    days_ago = {"u1": 2, "u2": 0, "u3": 10}
    api.send(*(usage(key, model="ours", at=now() - days * DAY) for key, days in days_ago.items()))
    assert [record_of(api, key)["cost_usd"] for key in ("u1", "u2", "u3")] == ["0.001200000", "0.005200000", None]


def test_a_price_of_one_provider_is_for_that_provider(api, usage):
    put(api, "llama", provider="Acme", valid_from=1)
    api.send(usage("u1", model="llama", provider="acme"), usage("u2", model="llama", provider="other"))
    assert [record_of(api, key)["cost_usd"] for key in ("u1", "u2")] == ["0.001200000", None]


def test_an_hour_of_an_own_machine_is_paid_by_the_time_that_calls_take(api, usage):
    answer = api.put("/api/tokens/prices/house-model", json={"usd_per_hour": "3.6", "valid_from": 1})
    assert answer.json["usd_per_hour"] == "3.600000000"
    api.send(usage("u1", model="house-model", latency_ms=2000), usage("u2", model="house-model"))
    assert [record_of(api, key)["cost_usd"] for key in ("u1", "u2")] == ["0.002000000", None]


def test_requests_and_long_prompts_have_their_own_prices(api, usage):
    longer = {"above_prompt_tokens": 500, "input_usd_per_million": 10, "output_usd_per_million": 20}
    put(api, "ours", usd_per_request="0.01", tiers=[longer], valid_from=1)
    api.send(usage("u1", model="ours", prompt_tokens=500), usage("u2", model="ours", prompt_tokens=501))
    assert [record_of(api, key)["cost_usd"] for key in ("u1", "u2")] == ["0.010700000", "0.017010000"]


def test_the_hook_says_what_a_usage_costs_and_writes_nothing(app, rows):
    usage = TokenUsage(id="x", model="gpt-4o", prompt_tokens=1000, completion_tokens=100)
    assert runtime().registry.first("price", usage=usage).cost_nano == 3_500_000
    unknown = TokenUsage(id="x", model="nobody-knows", prompt_tokens=1, completion_tokens=1)
    assert runtime().registry.first("price", usage=unknown) is None
    assert rows("SELECT id FROM token_prices") == []


def test_a_prices_file_that_is_not_there_stops_the_start():
    with pytest.raises(ValueError, match="price list"):
        check_file("/nowhere/prices.json")
    assert check_file("") == ""
