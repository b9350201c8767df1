"""What a run adds up from its children: errors and usage, each once, exact, and within 64 bits."""

from __future__ import annotations

import pytest

from pilothouse.bus import publish
from pilothouse.db import unit_of_work
from pilothouse.plugins.switches import switch
from pilothouse_executions import queries
from pilothouse_executions.events import UsageCorrected, UsageDelta
from pilothouse_executions.totals import LARGEST

NAMES = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "cost_nano",
         "unpriced_records")  # fmt: skip


def sums(store, run="a"):
    row = store.rows("SELECT * FROM execution_usage WHERE execution_id = :run", run=run)[0]
    return tuple(row[name] for name in NAMES)


def correct(*deltas):
    with unit_of_work():
        publish(UsageCorrected(deltas=deltas))


def test_errors_are_counted_and_listed_once(either_store, error):
    either_store.send(error("e1", at=5), error("e2", message="m" * 5_000, at=4), error("e1"), error("x", None))
    either_store.send(error("e1"))
    assert either_store.run("a")["error_count"] == 2
    listed = [(one.id, one.at, len(one.message)) for one in queries.errors("a")]
    assert listed == [("e2", 4, 1_000), ("e1", 5, 1)]


def test_usage_is_added_up_by_kind(either_store, usage):
    split = {"cached_tokens": 3, "cache_write_tokens": 2, "reasoning_tokens": 1}
    either_store.send(usage("u1", cost_usd="0.000000001", **split), usage("u2", cost_usd="1.5"), usage("u1"))
    either_store.send(usage("u3"))
    calls, prompt, completion, cached, written, reasoning, cost, unpriced = sums(either_store)
    assert (calls, prompt, completion, cached, written, reasoning) == (3, 30, 15, 3, 2, 1)
    assert (cost, unpriced) == (1_500_000_001, 1)
    assert (either_store.run("a")["total_tokens"], either_store.run("a")["cost_nano"]) == (45, 1_500_000_001)


def test_a_run_without_priced_usage_has_no_cost(either_store, execution, usage):
    either_store.send(execution("a"), execution("b"), usage("u1"))
    assert either_store.run("a")["cost_nano"] is None
    either_store.send(usage("u2", cost_usd="0.25"))
    assert either_store.run("a")["cost_nano"] == 250_000_000
    assert either_store.run("b")["cost_nano"] is None


def test_sums_end_at_64_bits_on_either_database(either_store, usage):
    either_store.send(usage("u1", cost_usd="1"))
    correct(UsageDelta(execution_id="a", prompt_tokens=LARGEST, cost_nano=LARGEST))
    either_store.send(usage("u2", cost_usd="1"), usage("u3", cost_usd="1"))
    row = either_store.run("a")
    assert (row["total_tokens"], row["cost_nano"]) == (LARGEST, LARGEST)
    assert sums(either_store)[:3] == (3, LARGEST, 15)


def test_a_correction_is_added_to_the_sums(either_store, usage):
    either_store.send(usage("u1", cost_usd="1"), usage("u2", cost_usd="1"), usage("u3", "b", cost_usd="1"))
    correct(
        UsageDelta(execution_id="a", calls=-1, prompt_tokens=-10, completion_tokens=-5, cost_nano=-500_000_000),
        UsageDelta(execution_id="b", cost_nano=7),
    )
    row = either_store.run("a")
    assert (sums(either_store)[0], row["total_tokens"], row["cost_nano"]) == (1, 15, 1_500_000_000)
    assert either_store.run("b")["cost_nano"] == 1_000_000_007


def test_a_price_that_is_found_or_lost_shows_in_the_cost(either_store, usage):
    either_store.send(usage("u1"))
    correct(UsageDelta(execution_id="a", unpriced_records=-1, cost_nano=5))
    assert either_store.run("a")["cost_nano"] == 5
    correct(UsageDelta(execution_id="a", unpriced_records=1, cost_nano=-5))
    assert either_store.run("a")["cost_nano"] is None


def test_a_correction_of_nothing_or_of_nobody_is_nothing(store, usage):
    store.send(usage("u1"))
    correct()
    correct(UsageDelta(execution_id="unknown", calls=1))
    assert sums(store)[0] == 1


@pytest.mark.parametrize("plugin", ["errors", "tokens"])
def test_what_nobody_keeps_is_not_counted(app, api, store, error, usage, plugin):
    with unit_of_work():
        switch(plugin, enabled=False, by="me")
    answer = api.send({"type": "execution", "id": "a", "workflow": "w", "status": "running"}, error(), usage())
    assert (answer["accepted"], len(answer["rejected"])) == (2, 1)
    row = store.run("a")
    assert (row["error_count"], row["total_tokens"]) == ((0, 15) if plugin == "errors" else (1, 0))
