"""Pricing the past again: once, exactly, in the background, and everything that counts cost follows."""

from __future__ import annotations

from pilothouse.clock import DAY, now
from pilothouse.db import db, unit_of_work
from pilothouse_executions.events import UsageCorrected
from pilothouse_tokens import repricing, tasks
from pilothouse_tokens.events import Repriced, Unpriced

PRICE = {"input_usd_per_million": "1", "output_usd_per_million": "2"}


def put(api, model, **fields):
    answer = api.put(f"/api/tokens/prices/{model}", json={**PRICE, **fields})
    assert answer.status_code == 200, answer.text


def newest(api):
    return api.get("/api/tokens/repricings").json["data"][0]


def test_what_was_unpriced_is_priced(api, usage, totals, lines, drain):
    api.send(*(usage(f"u{n}", model="ours", execution_id="e1", at=now() - n * DAY) for n in range(5)), usage("other"))
    put(api, "ours")
    drain()
    assert (totals(api)["unpriced_records"], lines(api, "model")["ours"]["cost_usd"]) == (0, "0.006000000")
    assert api.get("/api/executions/e1").json["cost_usd"] == "0.006000000"
    assert api.get("/api/executions/e1").json["token_usage"]["unpriced_records"] == 0


def test_the_difference_is_reported_and_a_second_run_changes_nothing(api, usage, drain):
    api.send(usage("u1", model="ours"), usage("u2", model="ours"))
    put(api, "ours")
    drain()
    assert (newest(api)["examined"], newest(api)["changed"], newest(api)["difference_usd"]) == (2, 2, "0.002400000")
    assert api.post("/api/tokens/reprice", json={}).status_code == 202
    drain()
    assert (newest(api)["examined"], newest(api)["changed"], newest(api)["difference_usd"]) == (2, 0, "0.000000000")


def test_measures_rows_and_executions_tell_the_same_after_it(api, usage, totals, drain, rows):
    api.send(*(usage(f"u{n}", model=("ours", "gpt-4o")[n % 2], execution_id=f"e{n % 3}", user="ada") for n in range(12)))
    put(api, "ours")
    drain()
    [sum_] = rows("SELECT SUM(cost_nano) AS cost, SUM(cost_nano IS NULL) AS missing FROM token_usage")
    [kept] = rows("SELECT SUM(cost_nano) AS cost, SUM(unpriced_records) AS missing FROM execution_usage")
    [listed] = rows("SELECT SUM(cost_nano) AS cost FROM executions")
    assert sum_ == kept == {"cost": listed["cost"], "missing": 0}
    assert totals(api)["cost_usd"] == f"0.{sum_['cost']:09d}"


def test_removing_a_price_gives_the_book_s_back(api, usage, totals, drain):
    put(api, "gpt-4o", valid_from=1)
    api.send(usage("u1"), usage("u2", model="ours"))
    assert totals(api)["cost_usd"] == "0.001200000"
    assert api.delete("/api/tokens/prices/gpt-4o").status_code == 204
    drain()
    assert totals(api)["cost_usd"] == "0.003500000"


def test_a_price_from_a_day_on_leaves_the_days_before_alone(api, usage, drain, totals):
    api.send(usage("u1", at=now() - 3 * DAY), usage("u2", at=now() - DAY))
    put(api, "gpt-4o", valid_from=now() - 2 * DAY)
    drain()
    assert totals(api)["cost_usd"] == "0.004700000"


def test_a_known_model_s_new_price_holds_from_now_on_if_not_told_otherwise(api, usage, drain, totals):
    api.send(usage("u1", at=now() - DAY))
    put(api, "gpt-4o")
    drain()
    assert totals(api)["cost_usd"] == "0.003500000"


def test_reported_costs_and_uncounted_sums_stay(api, usage, drain, totals, rows):
    api.send(usage("u1", model="ours", cost_usd="0.5"), usage("sum", model="ours", provisional=True, execution_id="e1"))
    api.send(usage("leaf", model="ours", execution_id="e1"))
    put(api, "ours")
    drain()
    assert totals(api)["cost_usd"] == "0.501200000"
    assert newest(api)["difference_usd"] == "0.001200000"
    assert api.get("/api/executions/e1").json["cost_usd"] == "0.001200000"


def test_a_run_goes_window_by_window_and_goes_on_after_a_kill(api, usage):
    api.send(*(usage(f"u{n}", model="ours") for n in range(7)))
    put(api, "ours")
    run_id = newest(api)["id"]
    with unit_of_work():
        assert repricing.step(run_id, window=3)
    assert (newest(api)["examined"], newest(api)["finished_at"]) == (3, None)
    tasks.reprice({"repricing_id": run_id})
    assert (newest(api)["examined"], newest(api)["changed"]) == (7, 7)
    with unit_of_work():
        assert not repricing.step(run_id)


def test_more_windows_than_one_job_makes_are_handed_over(api, usage, rows):
    api.send(*(usage(f"u{n}", model="ours") for n in range(7)))
    put(api, "ours")
    repricing.run_on(newest(api)["id"], window=1, steps=2)
    assert newest(api)["examined"] == 2
    assert len(rows("SELECT id FROM jobs WHERE task = 'tokens.reprice'")) == 2


def test_an_unpriced_model_is_told_about_once_until_it_has_a_price(api, usage, drain, rows, published):
    api.send(usage("u1", model="ours"), usage("u2", model="ours"))
    api.send(usage("u3", model="ours"), usage("u4", model="theirs"))
    assert sorted(event.model for event in published(Unpriced)) == ["ours", "theirs"]
    put(api, "ours")
    drain()
    assert [row["model"] for row in rows("SELECT model FROM token_unpriced_models")] == ["theirs"]
    api.delete("/api/tokens/prices/ours")
    drain()
    api.send(usage("u5", model="ours"))
    assert sorted(event.model for event in published(Unpriced)) == ["ours", "ours", "theirs"]


def test_a_call_without_tokens_asks_for_no_price(api, usage, published):
    """Some instrumentations know no model of a call that failed: nobody can set a price for `unknown`."""
    api.send(usage("u1", model="unknown", prompt_tokens=0, completion_tokens=0))
    assert published(Unpriced) == []


def test_the_end_of_a_run_is_published(api, usage, drain, published):
    api.send(usage("u1", model="ours", execution_id="e1"))
    put(api, "ours")
    drain()
    [event] = published(Repriced)
    assert (event.model, event.changed, event.difference_nano) == ("ours", 1, 1_200_000)
    assert len(published(UsageCorrected)) == 1


def test_models_that_a_newer_book_knows_are_priced_by_themselves(api, usage, drain, totals):
    api.send(usage("u1", model="ours"), usage("u2", model="nobody-knows"))
    with db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE token_usage SET model = 'gpt-4o-mini' WHERE id = 'u1'")
        connection.exec_driver_sql("UPDATE token_unpriced_models SET model = 'gpt-4o-mini' WHERE model = 'ours'")
    with unit_of_work():
        assert repricing.start_for_known() == 1
    drain()
    assert totals(api)["cost_usd"] == "0.000210000"


def test_a_model_that_is_gone_is_forgotten(api, usage, rows):
    api.send(usage("u1", model="ours"))
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM token_usage")
    with unit_of_work():
        assert repricing.start_for_known() == 0
    assert rows("SELECT model FROM token_unpriced_models") == []
