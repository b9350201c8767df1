"""Prices over HTTP: one's own and the book's, set and removed by those who may."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from pilothouse.clock import DAY, now, to_rfc3339

PRICE = {
    "input_usd_per_million": "1.5", "output_usd_per_million": 6, "cached_usd_per_million": "0.15",
    "cache_write_usd_per_million": 1.875,
}  # fmt: skip


def put(client, model, **fields):
    return client.put(f"/api/tokens/prices/{model}", json={**PRICE, **fields})


def listed(client, **query):
    answer = client.get("/api/tokens/prices", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json["data"]


def test_a_price_comes_back_as_it_was_set(api):
    at = now()
    answer = put(api, "ours", valid_from=to_rfc3339(at), provider="Acme", usd_per_request="0.01")
    assert answer.status_code == 200
    assert {name: float(answer.json[name]) for name in PRICE} == {name: float(value) for name, value in PRICE.items()}
    assert (answer.json["valid_from"], answer.json["provider"], answer.json["source"]) == (to_rfc3339(at), "acme", "own")
    assert listed(api)[0] == answer.json


def test_what_is_left_out_costs_as_the_whole_it_is_part_of(api):
    answer = api.put("/api/tokens/prices/ours", json={"input_usd_per_million": 3, "output_usd_per_million": 9})
    assert answer.json["cached_usd_per_million"] == answer.json["cache_write_usd_per_million"] == "3.000000000"
    assert answer.json["reasoning_usd_per_million"] == "9.000000000"


def test_own_prices_come_first_and_then_the_whole_book(api):
    put(api, "ours")
    put(api, "theirs")
    assert [price["model"] for price in listed(api, limit=2)] == ["theirs", "ours"]
    assert {price["source"].split()[0] for price in listed(api, limit=20)} == {"own", "genai-prices"}


def test_the_list_pages_from_own_prices_into_the_book(api):
    for number in range(5):
        put(api, f"ours-gpt-5.{number}")
    seen, cursor = [], None
    while True:
        query = {"q": "gpt-5", "limit": 7, **({"cursor": cursor} if cursor else {})}
        answer = api.get("/api/tokens/prices", query_string=query)
        seen += [(price["provider"], price["model"]) for price in answer.json["data"]]
        cursor = answer.json["next_cursor"]
        if cursor is None:
            break
    assert [model for _, model in seen[:5]] == [f"ours-gpt-5.{number}" for number in (4, 3, 2, 1, 0)]
    assert len(seen) == len(set(seen)) > 20
    assert ("openai", "gpt-5") in seen


def test_a_known_model_is_found_with_its_tiers(api):
    found = next(price for price in listed(api, q="google/gemini-2.5-pro") if price["model"] == "gemini-2.5-pro")
    assert (found["input_usd_per_million"], found["tiers"][0]["above_prompt_tokens"]) == ("1.25", 200_000)


def test_names_with_slashes_are_names(api, usage, lines):
    assert put(api, quote("meta-llama/Llama 3"), valid_from=1).json["model"] == "meta-llama/Llama 3"
    api.send(usage("u1", model="meta-llama/Llama 3"))
    assert lines(api, "model")["meta-llama/Llama 3"]["cost_usd"] == "0.002100000"
    assert api.delete(f"/api/tokens/prices/{quote('meta-llama/Llama 3')}").status_code == 204


def test_the_first_price_of_a_model_that_nobody_knows_holds_from_the_beginning(api, usage, lines):
    assert put(api, "ours").json["valid_from"] is None
    api.send(usage("u1", model="ours", at=now() - DAY))
    assert lines(api, "model")["ours"]["cost_usd"] == "0.002100000"
    assert put(api, "ours").json["valid_from"] is not None
    assert put(api, "gpt-4o").json["valid_from"] is not None


def test_the_same_start_replaces_and_another_one_adds(api, rows):
    put(api, "ours", valid_from=1)
    put(api, "ours", valid_from=1, input_usd_per_million=7)
    put(api, "ours", valid_from=5)
    assert [price["input_usd_per_million"] for price in listed(api, q="ours")] == ["1.500000000", "7.000000000"]
    assert len(rows("SELECT id FROM token_prices WHERE source = 'own'")) == 3


def test_a_price_that_changes_is_marked_on_charts_when_it_begins_to_hold(api, rows):
    put(api, "gpt-4o", valid_from=now() - DAY)
    put(api, "ours")
    api.delete("/api/tokens/prices/ours")
    marks = rows("SELECT at, text FROM chart_marks ORDER BY at, text")
    assert [mark["text"] for mark in marks] == [f"Price of {model} changed" for model in ("gpt-4o", "ours", "ours")]
    assert [round((now() - mark["at"]) / DAY) for mark in marks] == [1, 0, 0]


def test_removing_takes_all_own_prices_of_a_model(api):
    put(api, "ours", valid_from=1)
    put(api, "ours", valid_from=5)
    assert api.delete("/api/tokens/prices/OURS").status_code == 204
    assert listed(api, q="ours") == []
    assert api.delete("/api/tokens/prices/ours").status_code == 404


@pytest.mark.parametrize(("fields", "path"), [
    ({"input_usd_per_million": -1}, "input_usd_per_million"),
    ({"output_usd_per_million": "free"}, "output_usd_per_million"),
    ({"cached_usd_per_million": "NaN"}, "cached_usd_per_million"),
    ({"input_usd_per_million": 10**7}, "input_usd_per_million"),
    ({"valid_from": "yesterday"}, "valid_from"),
    ({"tiers": [{"above_prompt_tokens": 0, **PRICE}]}, "tiers[0].above_prompt_tokens"),
    ({"tiers": [{"above_prompt_tokens": 9, **PRICE}, {"above_prompt_tokens": 9, **PRICE}]}, "tiers[1].above_prompt_tokens"),
])  # fmt: skip
def test_what_is_no_price_is_refused(api, fields, path):
    answer = put(api, "ours", **fields)
    assert answer.status_code == 422, answer.text
    assert [error["path"] for error in answer.json["errors"]] == [path]


def test_a_price_says_at_least_something(api):
    answer = api.put("/api/tokens/prices/ours", json={})
    assert {error["path"] for error in answer.json["errors"]} == {"input_usd_per_million", "output_usd_per_million"}
    assert put(api, "x" * 256).status_code == 422


def test_only_admins_set_prices_and_it_is_written_down(as_role, rows):
    assert put(as_role("member"), "ours").status_code == 403
    admin = as_role("admin")
    assert put(admin, "ours").status_code == 200
    assert admin.delete("/api/tokens/prices/ours").status_code == 204
    done = rows("SELECT action FROM audit_log WHERE target = 'price:ours' AND outcome = 'ok' ORDER BY seq")
    assert [row["action"] for row in done] == ["price.set", "price.removed"]


def test_a_token_needs_the_admin_scope(app, make_token):
    from pilothouse.testing import Api

    assert put(Api(app.test_client(), make_token("read", "write")), "ours").status_code == 403
    assert put(Api(app.test_client(), make_token("admin")), "ours").status_code == 200
