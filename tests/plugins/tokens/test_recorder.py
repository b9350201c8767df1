"""Recording usage: each call once, with all that it says."""

from __future__ import annotations

import pytest

from pilothouse.clock import DAY, HOUR, now, to_rfc3339
from pilothouse_tokens import tasks


def record_of(api, key):
    return next(record for record in api.get("/api/tokens/records?range=30d&limit=500").json["data"] if record["id"] == key)


def test_a_call_comes_back_as_it_was_sent(api, usage):
    at = now() - HOUR
    given = {"provider": "openai", "user": "ada", "key_id": "key-1", "response_id": "resp-1", "latency_ms": 12.5}
    api.send(usage("u1", at=at, cached_tokens=400, cache_write_tokens=100, reasoning_tokens=30, **given))
    found = record_of(api, "u1")
    assert {name: found[name] for name in given} == given
    assert (found["cached_tokens"], found["cache_write_tokens"], found["reasoning_tokens"]) == (400, 100, 30)
    assert (found["total_tokens"], found["created_at"]) == (1100, to_rfc3339(at))
    assert found["split_known"] is True


def test_a_source_that_does_not_send_the_split_is_marked(api, usage):
    api.send(usage("u1"), usage("u2", cached_tokens=0), usage("u3", split_known=False, cached_tokens=5))
    assert [record_of(api, key)["split_known"] for key in ("u1", "u2", "u3")] == [False, True, False]


def test_the_first_id_wins(api, usage, totals):
    assert api.send(usage("u1"), usage("u1", prompt_tokens=7)) == {"accepted": 1, "duplicates": 1, "rejected": []}
    assert api.send(usage("u1", prompt_tokens=8))["duplicates"] == 1
    assert (totals(api)["calls"], totals(api)["prompt_tokens"]) == (1, 1000)


def test_one_provider_call_that_is_seen_twice_counts_once(api, usage, totals):
    api.send(usage("gateway", response_id="chatcmpl-1"))
    assert api.send(usage("span", response_id="chatcmpl-1"), usage("other", response_id="chatcmpl-1"))["duplicates"] == 2
    assert totals(api)["calls"] == 1
    assert api.send(usage("next", response_id="chatcmpl-2"))["accepted"] == 1


def test_calls_without_a_response_id_are_all_different(api, usage, totals):
    api.send(usage("u1", response_id=""), usage("u2", response_id=""), usage("u3"))
    assert totals(api)["calls"] == 3


def test_a_duplicate_adds_nothing_to_its_execution(api, usage):
    api.send(usage("u1", execution_id="e1", response_id="r"), usage("u2", execution_id="e1", response_id="r"))
    assert api.get("/api/executions/e1").json["token_usage"]["calls"] == 1


def test_unattributed_usage_has_a_line_of_its_own(api, usage, lines):
    api.send(usage("u1", user="ada", key_id="k1", agent="scout"), usage("u2", provider=""))
    for by, key in (("user", "ada"), ("key", "k1"), ("agent", "scout")):
        assert {line: found["calls"] for line, found in lines(api, by).items()} == {key: 1, None: 1}
    assert lines(api, "provider").keys() == {None}


@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens"])
def test_an_impossible_number_of_tokens_is_refused(api, usage, field):
    answer = api.send(usage("u1", **{field: 2**53 - 1}), usage("u2"))
    assert (answer["accepted"], answer["rejected"][0]["id"]) == (1, "u1")
    assert "tokens" in answer["rejected"][0]["errors"][0]["message"]


def test_an_impossible_cost_is_refused(api, usage):
    answer = api.send(usage("u1", cost_usd="1000000.000000001"), usage("u2", cost_usd="1000000"))
    assert (answer["accepted"], [entry["id"] for entry in answer["rejected"]]) == (1, ["u1"])


def test_parts_cannot_exceed_their_whole(api, usage):
    answer = api.send(
        usage("u1", cached_tokens=900, cache_write_tokens=101),
        usage("u2", reasoning_tokens=101),
        usage("u3", cache_write_tokens=5, cache_write_1h_tokens=6),
    )
    assert [entry["errors"][0]["path"].split(".")[1] for entry in answer["rejected"]] == [
        "cached_tokens", "reasoning_tokens", "cache_write_1h_tokens",
    ]  # fmt: skip


def test_usage_without_a_time_is_of_now(api, usage):
    before = now()
    api.send(usage("u1"))
    assert to_rfc3339(before) <= record_of(api, "u1")["created_at"] <= to_rfc3339(now())


def test_what_a_source_says_about_the_price_is_not_kept(api, usage):
    api.send(usage("u1", price_id="made-up", cost_reported=12, model="nobody-knows"))
    found = record_of(api, "u1")
    assert (found["price_id"], found["cost_reported"], found["cost_usd"]) == (None, None, None)


def test_old_usage_is_deleted_and_its_sums_stay(api, usage, rows, time_of_day):
    api.send(usage("old", at=now() - 20 * DAY), usage("new"))
    time_of_day.pass_by(80 * DAY)
    tasks.expire({})
    assert [row["id"] for row in rows("SELECT id FROM token_usage")] == ["new"]
    assert api.get("/api/tokens/usage?range=300d").json["totals"]["calls"] == 2
