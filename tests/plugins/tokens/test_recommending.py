"""Recommendations: each names the executions and the saving, and clean data gives none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import event

from pilothouse.clock import DAY, HOUR, now
from pilothouse.db import db, unit_of_work
from pilothouse_tokens import tasks


def recommend(api):
    with unit_of_work():
        tasks.recommend({})
    return {found["kind"]: found for found in api.get("/api/tokens/recommendations").json["data"]}


@pytest.fixture
def runs(usage):
    """Make usage of many executions of one workflow; `fields` may depend on the execution's number."""

    def make(count, fields, calls=1):
        return [
            usage(f"u{n}-{call}", execution_id=f"e{n}", workflow="nightly", at=now() - HOUR - n * 1000, **fields(n))
            for n in range(count)
            for call in range(calls)
        ]

    return make


def test_clean_data_gives_none(api, runs, execution):
    api.send(*(execution(f"e{n}", status="succeeded") for n in range(200)))
    api.send(*runs(200, lambda n: {"prompt_tokens": 1500 + 37 * n, "completion_tokens": 300, "cached_tokens": 1024}))
    assert recommend(api) == {}


def test_traces_that_do_not_know_the_split_give_none(api, runs):
    api.send(*runs(300, lambda n: {"prompt_tokens": 1400 + n, "completion_tokens": 200}))
    assert recommend(api) == {}


def test_short_simple_calls_of_a_large_model(api, runs):
    api.send(*runs(40, lambda n: {"prompt_tokens": 800, "completion_tokens": 50 + n % 3, "cached_tokens": 0}))
    found = recommend(api)["cheaper_model"]
    assert "gpt-4o-mini" in found["title"]
    assert "nightly" in found["title"]
    tokens_out = sum(50 + n % 3 for n in range(40))
    saved = 40 * 800 * (Decimal("2.5") - Decimal("0.15")) + tokens_out * (Decimal(10) - Decimal("0.6"))
    assert abs(Decimal(found["saving_usd"]) - saved / 10**6) < Decimal("1E-8")
    assert set(found["executions"]) == {f"e{n}" for n in range(40)}


def test_a_small_model_is_not_replaced(api, runs):
    api.send(*runs(40, lambda n: {"model": "gpt-4o-mini", "prompt_tokens": 800, "completion_tokens": 50}))
    assert recommend(api) == {}


def test_prompts_that_are_never_read_from_a_cache(api, runs):
    api.send(*runs(30, lambda n: {"prompt_tokens": 5000 + n, "completion_tokens": 400, "cached_tokens": 0}))
    found = recommend(api)["prompt_caching"]
    assert "5,000" in found["detail"]
    assert Decimal(found["saving_usd"]) == 29 * 5000 * Decimal("1.25") / 10**6


def test_prompts_of_very_different_lengths_share_no_start(api, runs):
    api.send(*runs(30, lambda n: {"prompt_tokens": 1024 + 900 * n, "completion_tokens": 400, "cached_tokens": 0}))
    assert "prompt_caching" not in recommend(api)


def test_calls_that_are_made_again(api, runs):
    api.send(*runs(25, lambda n: {"prompt_tokens": 3000 + n, "completion_tokens": 500}, calls=2))
    found = recommend(api)["retry_waste"]
    assert (found["calls"], len(found["executions"])) == (50, 25)
    assert Decimal(found["saving_usd"]) == sum((3000 + n) * Decimal("2.5") + 5000 for n in range(25)) / 10**6


def test_many_calls_with_equal_prompts_are_a_batch_and_prove_no_retries(api, runs, usage):
    api.send(*runs(25, lambda n: {"prompt_tokens": 3000 + n, "completion_tokens": 500}, calls=2))
    batch = {"prompt_tokens": 3000, "completion_tokens": 500, "execution_id": "batch", "workflow": "nightly"}
    api.send(*(usage(f"b{n}", **batch) for n in range(12)))
    assert "batch" not in recommend(api)["retry_waste"]["executions"]


def test_much_context_for_a_small_answer(api, runs):
    api.send(*runs(25, lambda n: {"prompt_tokens": 20_000 + 997 * n, "completion_tokens": 20}))
    assert Decimal(recommend(api)["oversized_context"]["saving_usd"]) > Decimal("0.6")


def test_executions_that_failed_after_they_paid(api, runs, execution):
    api.send(*runs(6, lambda n: {"prompt_tokens": 2000, "completion_tokens": 400}))
    api.send(*(execution(f"e{n}", status="failed" if n else "succeeded") for n in range(6)))
    found = recommend(api)["failed_calls"]
    assert found["saving_usd"] == "0.045000000"
    assert set(found["executions"]) == {f"e{n}" for n in range(1, 6)}


def test_what_is_gone_is_let_go_and_keeps_its_name(api, runs, time_of_day):
    api.send(*runs(40, lambda n: {"prompt_tokens": 800, "completion_tokens": 50}))
    first = recommend(api)["cheaper_model"]["id"]
    assert recommend(api)["cheaper_model"]["id"] == first
    time_of_day.pass_by(8 * DAY)
    assert recommend(api) == {}


def test_a_dismissed_one_stays_away(api, runs, as_role):
    api.send(*runs(40, lambda n: {"prompt_tokens": 800, "completion_tokens": 50}))
    path = f"/api/tokens/recommendations/{recommend(api)['cheaper_model']['id']}/dismiss"
    assert as_role("viewer").post(path).status_code == 403
    assert as_role("admin").post(path).status_code == 200
    assert recommend(api) == {}
    assert api.post("/api/tokens/recommendations/none/dismiss").status_code == 404


def test_savings_of_less_than_a_cent_are_not_worth_reading(api, runs):
    api.send(*runs(25, lambda n: {"prompt_tokens": 50, "completion_tokens": 5}))
    assert recommend(api) == {}


def test_nobody_waits_to_write_while_calls_are_looked_at(api, runs):
    api.send(*runs(30, lambda _: {"prompt_tokens": 800, "completion_tokens": 40}))
    statements = []
    note = lambda _connection, _cursor, statement, *_: statements.append(statement)  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", note)
    tasks.recommend({})
    event.remove(db.engine, "before_cursor_execute", note)
    locked = next(place for place, statement in enumerate(statements) if "BEGIN IMMEDIATE" in statement)
    looked = [place for place, statement in enumerate(statements) if "token_usage" in statement]
    assert looked
    assert max(looked) < locked
