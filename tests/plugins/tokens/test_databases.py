"""SQLite and PostgreSQL give the same figures: every statement of the plugin that is written by hand runs on both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pilothouse.clock import HOUR, now
from pilothouse.db import unit_of_work
from pilothouse.errors import BudgetUsedUp
from pilothouse.measure_rollups import compact
from pilothouse.runtime import runtime
from pilothouse.sdk import Spend
from pilothouse.work.runner import drain as run_due
from pilothouse_tokens import service, tasks

CENT = 10_000_000


def test_recording_leaves_and_attribution(either_api, usage, execution, totals, lines):
    api = either_api
    api.send(usage("sum", execution_id="e1", provisional=True), usage("u1", model="ours", response_id="r1", user="ada"))
    api.send(usage("leaf", execution_id="e1", cached_tokens=200), usage("again", response_id="r1"), usage("u1"))
    api.send(execution("e1", agent="scout"))
    compact()
    assert (totals(api)["calls"], totals(api)["cached_tokens"], totals(api)["unpriced_records"]) == (2, 200, 1)
    assert lines(api, "agent").keys() == {"scout", None}
    assert api.get("/api/executions/e1").json["token_usage"]["calls"] == 1


def test_prices_and_repricing(either_app, either_api, usage, totals):
    api = either_api
    api.send(*(usage(f"u{n}", model="ours", execution_id="e1", at=now() - n * HOUR) for n in range(5)))
    api.put("/api/tokens/prices/ours", json={"input_usd_per_million": 1, "output_usd_per_million": 2})
    run_due(either_app)
    assert (totals(api)["cost_usd"], totals(api)["unpriced_records"]) == ("0.006000000", 0)
    assert api.get("/api/executions/e1").json["cost_usd"] == "0.006000000"
    assert api.delete("/api/tokens/prices/ours").status_code == 204
    run_due(either_app)
    assert totals(api)["unpriced_records"] == 5


def test_records_and_export(either_api, usage):
    api = either_api
    api.send(*(usage(f"u{n}", at=now() - n * HOUR, user=("ada", "bob")[n % 2], workflow="nightly") for n in range(10)))
    page = api.get("/api/tokens/records?user=ada&limit=3&range=7d").json
    rest = api.get(f"/api/tokens/records?user=ada&range=7d&cursor={page['next_cursor']}").json
    assert [record["id"] for record in page["data"] + rest["data"]] == ["u0", "u2", "u4", "u6", "u8"]
    assert api.get("/api/tokens/export.csv?range=7d").text.count("nightly") in {1, 2}


def test_recommendations(either_api, usage, execution):
    api = either_api
    short = {"prompt_tokens": 800, "completion_tokens": 50, "cached_tokens": 0, "workflow": "triage"}
    api.send(*(usage(f"u{n}", execution_id=f"e{n}", at=now() - HOUR, **short) for n in range(30)))
    long = {"prompt_tokens": 9000, "completion_tokens": 50, "cached_tokens": 0, "workflow": "nightly"}
    api.send(*(usage(f"v{n}-{k}", execution_id=f"f{n}", at=now() - HOUR, **long) for n in range(30) for k in range(2)))
    api.send(*(execution(f"e{n}", workflow="triage", status="failed") for n in range(9)))
    with unit_of_work():
        tasks.recommend({})
        tasks.recommend({})
    found = api.get("/api/tokens/recommendations").json["data"]
    assert {one["kind"] for one in found} == {
        "cheaper_model", "prompt_caching", "oversized_context", "retry_waste", "failed_calls",
    }  # fmt: skip
    assert all(one["executions"] for one in found)


def test_budgets_and_their_warnings(either_api, usage):
    made = either_api.post("/api/tokens/budgets", json={"name": "b", "amount_usd": "0.005", "user": "ada"}).json
    either_api.send(usage("u1", user="ada"), usage("u2", user="bob"))
    for _ in range(2):
        with unit_of_work():
            tasks.check_budgets({})
    assert either_api.get("/api/tokens/budgets").json["data"][0]["spent_usd"] == "0.003500000"
    assert either_api.patch(f"/api/tokens/budgets/{made['id']}", json={"tz": "Asia/Kolkata"}).json["tz"] == "Asia/Kolkata"
    assert either_api.delete(f"/api/tokens/budgets/{made['id']}").status_code == 204


def test_callers_at_once_never_spend_more_than_there_is(either_app, either_api, usage, totals):
    either_api.post("/api/tokens/budgets", json={"name": "b", "amount_usd": "0.1", "hard": True})

    def call(_number):
        with either_app.app_context():
            try:
                reservation = runtime().registry.first("reserve", spend=Spend(CENT))
            except BudgetUsedUp:
                return 0
            either_api.send(usage(reservation.id, cost_usd="0.01"))
            reservation.settle(CENT)
            return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(call, range(32))) == 10
    assert totals(either_api)["cost_usd"] == "0.100000000"


def test_old_usage_is_deleted_in_steps(either_api, usage):
    either_api.send(*(usage(f"u{n}", at=now() - n * HOUR) for n in range(10)))
    for wanted in (3, 3, 0):
        with unit_of_work():
            assert service.expire(now() - 4 * HOUR + 1, 3) == wanted


@pytest.mark.postgres
def test_the_migration_has_no_drift(either_app):
    from pilothouse import migrate

    assert [sentence for sentence in migrate.check() if sentence.startswith("tokens")] == []


@pytest.mark.parametrize("field", ["response_id", "key_id"])
def test_an_id_that_no_database_can_hold_takes_nothing_with_it(either_app, either_api, usage, field):
    answer = either_api.post("/api/ingest", json={"signals": [usage("good"), usage("bad", **{field: "a\0b"})]}).json
    assert answer["accepted"] == 1
    [refused] = answer["rejected"]
    assert refused["errors"] == [{"path": f"signals[1].{field}", "message": "must not hold NUL"}]
