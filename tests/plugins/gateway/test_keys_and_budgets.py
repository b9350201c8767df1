"""Whose key pays, and when nobody's does: keys by service and name, the next one where one is refused, hard budgets, rates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest
from tests.plugins.gateway.conftest import add_key
from tests.plugins.gateway.provider import GOOD

ASK = [{"role": "user", "content": "Hello [[in=100 out=50]]"}]
OLD, NEW = "sk-old-0123456789abcd", "sk-new-0123456789abcd"


@pytest.fixture
def pair(gates):
    """Give a gateway with an older and a newer OpenAI key."""
    gate = gates(keys=False)
    add_key(gate, "openai", OLD, "old")
    add_key(gate, "openai", NEW, "new")
    return gate


def create(gate, client=None, **headers):
    with client or gate.openai() as one:
        return one.chat.completions.create(model="gpt-4o", messages=ASK, extra_headers=headers)


def keys_of(provider):
    return [one["key"] for one in provider.requests]


def test_the_newest_key_is_used_or_the_one_that_is_named(pair, provider):
    create(pair)
    create(pair, **{"X-Pilothouse-Key": "old"})
    assert keys_of(provider) == [NEW, OLD]
    by_name = {one["name"]: one["id"] for one in pair.api.get("/api/keys").json["data"]}
    assert [one["key_id"] for one in pair.calls()] == [by_name["new"], by_name["old"]]


@pytest.mark.parametrize("status", [401, 403, 429])
def test_the_next_key_is_taken_where_one_is_refused_or_limited(pair, provider, status):
    provider.keys[NEW] = status
    create(pair)
    assert keys_of(provider) == [NEW, OLD]
    by_name = {one["name"]: one["id"] for one in pair.api.get("/api/keys").json["data"]}
    told = pair.step()["attributes"]
    assert told["key_id"] == by_name["old"]
    assert told["refused_keys"] == [{"key_id": by_name["new"], "status": status}]


def test_the_old_secret_works_on_for_the_overlap_of_a_rotation(gates, provider):
    gate = gates(keys=False)
    key = add_key(gate, "openai", OLD)
    gate.api.post(f"/api/keys/{key}/rotate", json={"secret": NEW, "grace_seconds": 3600})
    create(gate)
    provider.keys[NEW] = 401  # not yet known at the provider
    create(gate)
    assert keys_of(provider) == [NEW, NEW, OLD]
    assert [one["key_id"] for one in gate.calls()] == [key, key]
    gate.api.post(f"/api/keys/{key}/rotate", json={"secret": NEW, "grace_seconds": 0})
    with pytest.raises(openai.APIStatusError) as refusal:
        create(gate)
    assert (refusal.value.status_code, keys_of(provider)[3:]) == (424, [NEW])


def test_where_every_key_is_limited_the_provider_s_own_answer_says_when_to_come_back(pair, provider):
    provider.keys |= {NEW: 429, OLD: 429}
    with pytest.raises(openai.RateLimitError) as refusal:
        create(pair)
    assert refusal.value.response.headers["retry-after-ms"] == "10"
    assert len(provider.requests) == 2


def test_where_every_key_is_refused_none_is_usable(pair, provider):
    provider.keys |= {NEW: 401, OLD: 403}
    with pytest.raises(openai.APIStatusError) as refusal:
        create(pair, pair.openai(max_retries=2))
    assert (refusal.value.status_code, refusal.value.code, len(provider.requests)) == (424, "no_usable_key", 2)
    assert OLD not in refusal.value.message
    assert pair.step()["status"] == "failed"


def test_a_named_key_is_not_replaced_by_another(pair, provider):
    provider.keys[NEW] = 401
    with pytest.raises(openai.APIStatusError, match="named new"):
        create(pair, **{"X-Pilothouse-Key": "new"})
    assert keys_of(provider) == [NEW]


def test_without_a_key_nobody_is_asked(gates, provider):
    gate = gates(keys=False)
    with pytest.raises(openai.APIStatusError) as refusal:
        create(gate)
    assert (refusal.value.status_code, refusal.value.body["type"]) == (424, "gateway_error")
    with gate.anthropic() as client, pytest.raises(anthropic.APIStatusError) as refusal:
        client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=ASK)
    assert refusal.value.status_code == 424
    assert refusal.value.body["error"]["type"] == "gateway_error"
    assert provider.requests == []


def test_a_key_may_have_an_address_of_its_own(gates, provider):
    gate = gates(keys=False, PILOTHOUSE_UPSTREAM_OPENAI="http://127.0.0.1:1")
    add_key(gate, "openai", GOOD, base_url=f"{provider.url}/v1")
    assert create(gate).usage.prompt_tokens == 100


def budget(gate, **fields):
    fields = {"name": "Hard", "amount_usd": "0.01", "period": "day", "hard": True, **fields}
    assert gate.api.post("/api/tokens/budgets", json=fields).status_code == 201


def test_a_used_up_budget_is_told_in_the_provider_s_shape_and_not_tried_again(gates, provider):
    gate = gates()
    budget(gate, amount_usd="0.0005")  # gpt-4o: 100 prompt and 50 completion tokens cost $0.00075
    create(gate)
    with pytest.raises(openai.RateLimitError) as refusal:
        create(gate, gate.openai(max_retries=2))
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert int(refusal.value.response.headers["Retry-After"]) > 0
    assert (refusal.value.type, refusal.value.code) == ("insufficient_quota", "budget_used_up")
    with gate.anthropic(max_retries=2) as client, pytest.raises(anthropic.RateLimitError) as told:
        client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=ASK)
    assert told.value.body["error"]["type"] == "rate_limit_error"
    assert len(provider.requests) == 1


def test_many_callers_exceed_a_budget_by_one_estimate_at_most(gates, provider):
    gate = gates()
    budget(gate, amount_usd="0.003")  # four calls cost that much; each is guessed at twelve times as much

    def one(_):
        try:
            return create(gate).usage is not None
        except openai.RateLimitError:
            return False

    with ThreadPoolExecutor(16) as pool:
        done = sum(pool.map(one, range(24)))
    assert done == len(provider.requests)
    assert 1 <= done <= 4
    assert gate.eventually(lambda: len(gate.calls()) == done)


def test_a_guess_learns_from_calls_that_used_more_than_was_guessed(gates, provider):
    gate = gates()

    def one(_=None):
        with gate.openai() as client:
            told = [{"role": "user", "content": "[[in=100000 out=10]]"}]  # 0.2501 dollars, a prompt guessed at 0.0001
            try:
                return client.chat.completions.create(model="gpt-4o", max_tokens=10, messages=told).usage is not None
            except openai.RateLimitError:
                return False

    assert one()
    budget(gate, amount_usd="1.1")  # four calls and a bit, one of which was made
    with ThreadPoolExecutor(16) as pool:
        assert 3 <= sum(pool.map(one, range(24))) <= 4
    spent = gate.api.get("/api/tokens/budgets").json["data"][0]["spent_usd"]
    assert float(spent) <= 1.1 + 0.2501


def test_what_was_set_aside_is_free_again_after_a_call_that_used_nothing(gates, provider):
    gate = gates()
    budget(gate, amount_usd="0.005")  # less than the guess of one call: the first one takes all of it
    for _ in range(3):
        with gate.openai() as client, pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "[[status=500]]"}])
    assert create(gate).usage is not None


def test_a_budget_of_an_agent_stops_that_agent_alone(gates, provider):
    gate = gates()
    budget(gate, amount_usd="0.0005", agent="triage")
    create(gate, **{"X-Pilothouse-Agent": "triage"})
    with pytest.raises(openai.RateLimitError):
        create(gate, **{"X-Pilothouse-Agent": "triage"})
    assert create(gate, **{"X-Pilothouse-Agent": "writer"}).usage is not None


def test_a_token_may_call_so_often_a_minute(gates, provider):
    gate = gates(PILOTHOUSE_GATEWAY_RATE="3")
    with gate.openai() as client:
        for _ in range(3):
            client.models.list()
        with pytest.raises(openai.RateLimitError) as refusal:
            client.models.list()
    assert 0 < int(refusal.value.response.headers["Retry-After"]) <= 60
    assert refusal.value.response.headers["RateLimit-Policy"] == '"gateway";q=3;w=60'
