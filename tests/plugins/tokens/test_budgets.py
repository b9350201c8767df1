"""Budgets over HTTP: their fields, their calendar, their spend, and the warnings that come once."""

from __future__ import annotations

from datetime import datetime

import pytest

from pilothouse.clock import DAY, HOUR, MINUTE, now, to_rfc3339
from pilothouse.db import unit_of_work
from pilothouse_tokens import budgets, notices, tasks
from pilothouse_tokens.events import BudgetCrossed

FIELDS = {
    "id", "name", "amount_usd", "period", "tz", "hard", "workflow", "agent", "user", "model", "key_id", "spent_usd",
    "forecast_usd",
}  # fmt: skip


def make(api, **fields):
    answer = api.post("/api/tokens/budgets", json={"name": "All of it", "amount_usd": "1", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json


def read(api, key):
    return next(record for record in api.get("/api/tokens/budgets").json["data"] if record["id"] == key)


def faults(answer):
    assert answer.status_code == 422, answer.text
    return {error["path"] for error in answer.json["errors"]}


def check():
    with unit_of_work():
        tasks.check_budgets({})


def test_a_budget_is_made_listed_changed_and_deleted(api):
    made = make(api, amount_usd=12.5, period="week", tz="Europe/Berlin", hard=True, workflow="nightly")
    assert made.keys() >= FIELDS
    assert (made["amount_usd"], made["workflow"], made["model"], made["hard"]) == ("12.500000000", "nightly", None, True)
    changed = api.patch(f"/api/tokens/budgets/{made['id']}", json={"amount_usd": "20", "hard": False})
    assert (changed.status_code, changed.json["amount_usd"], changed.json["period"]) == (200, "20.000000000", "week")
    assert api.delete(f"/api/tokens/budgets/{made['id']}").status_code == 204
    assert api.get("/api/tokens/budgets").json["data"] == []


def test_left_out_fields_have_plain_defaults(api):
    made = make(api)
    assert (made["period"], made["tz"], made["hard"], made["spent_usd"]) == ("month", "UTC", False, "0.000000000")


@pytest.mark.parametrize(("fields", "path"), [
    ({"amount_usd": 0}, "amount_usd"), ({"amount_usd": "-1"}, "amount_usd"), ({"amount_usd": "x"}, "amount_usd"),
    ({"tz": "Mars/Olympus"}, "tz"), ({"period": "year"}, "period"), ({"name": ""}, "name"),
    ({"workflow": "a", "agent": "b"}, "agent"),
])  # fmt: skip
def test_what_is_no_budget_is_refused(api, fields, path):
    assert faults(api.post("/api/tokens/budgets", json={"name": "b", "amount_usd": 1, **fields})) == {path}


def test_the_scope_can_be_moved_but_never_be_two(api):
    made = make(api, workflow="nightly")
    path = f"/api/tokens/budgets/{made['id']}"
    assert faults(api.patch(path, json={"agent": "scout"})) == {"agent"}
    moved = api.patch(path, json={"workflow": None, "agent": "scout"}).json
    assert (moved["workflow"], moved["agent"]) == (None, "scout")
    assert api.patch(path, json={"agent": None}).json["agent"] is None


def test_a_budget_that_is_not_there_is_404(api):
    assert api.patch("/api/tokens/budgets/none", json={"name": "x"}).status_code == 404
    assert api.delete("/api/tokens/budgets/none").status_code == 404


def test_the_list_pages(api):
    keys = [make(api, name=f"b{n}")["id"] for n in range(5)]
    first = api.get("/api/tokens/budgets?limit=2").json
    rest = api.get(f"/api/tokens/budgets?limit=500&cursor={first['next_cursor']}").json
    assert [record["id"] for record in first["data"] + rest["data"]] == keys[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(("scope", "field", "value"), [
    ("workflow", "workflow", "nightly"), ("agent", "agent", "scout"), ("user", "user", "ada"), ("model", "model", "gpt-4o"),
    ("key_id", "key_id", "key-1"),
])  # fmt: skip
def test_a_budget_counts_what_belongs_to_it(api, usage, scope, field, value):
    made, whole = make(api, **{scope: value}), make(api)
    api.send(usage("u1", **{field: value}), usage("u2", model="gpt-4o-mini"))
    assert (read(api, made["id"])["spent_usd"], read(api, whole["id"])["spent_usd"]) == ("0.003500000", "0.003710000")


def test_spend_belongs_to_the_calendar_period_of_the_budget_s_zone(api, usage, time_of_day):
    time_of_day.at = 1_774_746_000_000  # 2026-03-29 01:00 UTC: in Berlin the first hours of a day of 23
    made = make(api, period="day", tz="Europe/Berlin")
    midnight = now() - 2 * HOUR
    api.send(usage("before", at=midnight - MINUTE), usage("first", at=midnight), usage("later"))
    found = read(api, made["id"])
    assert (found["spent_usd"], found["period_start"]) == ("0.007000000", to_rfc3339(midnight))
    assert found["period_end"] == to_rfc3339(midnight + 23 * HOUR)
    time_of_day.pass_by(21 * HOUR)
    assert read(api, made["id"])["spent_usd"] == "0.000000000"


def test_the_forecast_goes_on_as_the_period_went_so_far(api, usage, time_of_day):
    time_of_day.at = 1_774_742_400_000 - 18 * HOUR  # 06:00 UTC: a quarter of a day has passed
    made = make(api, period="day")
    api.send(usage("u1"))
    assert read(api, made["id"])["forecast_usd"] == "0.014000000"


def test_people_are_told_at_50_80_and_100_percent_once_each(api, usage, published):
    made = make(api, amount_usd="0.007")
    check()
    levels = []
    for number in range(3):
        api.send(usage(f"u{number}", completion_tokens=100 if number < 1 else 10))
        check()
        check()
        levels.append([event.level for event in published(BudgetCrossed)])
    assert levels == [[50], [50, 80], [50, 80, 100]]
    assert {event.budget_id for event in published(BudgetCrossed)} == {made["id"]}


def test_a_jump_over_all_levels_tells_of_each(api, usage, published):
    make(api, amount_usd="0.001", hard=True)
    api.send(usage("u1"))
    check()
    assert [(event.level, event.hard, event.spent_nano) for event in published(BudgetCrossed)] == [
        (level, True, 3_500_000) for level in (50, 80, 100)
    ]


def test_a_new_period_is_told_about_anew(api, usage, published, time_of_day):
    make(api, amount_usd="0.0035", period="day")
    for day in range(2):
        api.send(usage(f"u{day}"))
        check()
        time_of_day.pass_by(DAY)
    assert [event.level for event in published(BudgetCrossed)] == [50, 80, 100] * 2


def test_what_the_last_moments_of_a_period_spent_is_told_after_it(api, usage, published, time_of_day):
    made = make(api, amount_usd="0.0035", period="day")
    end = datetime.fromisoformat(made["period_end"])
    time_of_day.at = round(end.timestamp() * 1000) - 1
    api.send(usage("u1"))
    time_of_day.pass_by(20 * MINUTE)
    check()
    check()
    told = published(BudgetCrossed)
    assert [(event.level, event.ended, event.spent_nano) for event in told] == [(n, True, 3_500_000) for n in (50, 80, 100)]
    assert read(api, made["id"])["spent_usd"] == "0.000000000"


def test_a_period_that_ended_is_not_told_about_by_a_budget_that_is_younger(api, usage, published, time_of_day):
    api.send(usage("u1"))
    older = make(api, amount_usd="100", period="day")
    time_of_day.at = round(datetime.fromisoformat(older["period_end"]).timestamp() * 1000) + MINUTE
    make(api, amount_usd="0.001", period="day")
    api.patch(f"/api/tokens/budgets/{older['id']}", json={"amount_usd": "0.001"})
    check()
    assert published(BudgetCrossed) == []


def test_anything_that_is_counted_or_summed_has_budgets_in_its_own_unit(api, usage, execution, published):
    made = make(api, amount_usd="2", measure="executions.count", workflow="nightly", period="day")
    assert (made["unit"], made["spent_usd"]) == ("1", "0.000000000")
    tokens = make(api, amount_usd="5000", measure="tokens.prompt", model="gpt-4o")
    api.send(execution("e1"), execution("e2"), execution("e3", workflow="hourly"), usage("u1"), usage("u2", model="o1"))
    check()
    assert read(api, made["id"])["spent_usd"] == "2.000000000"
    assert (read(api, tokens["id"])["unit"], read(api, tokens["id"])["spent_usd"]) == ("tokens", "1000.000000000")
    told = published(BudgetCrossed)
    assert [(event.budget_id, event.level) for event in told] == [(made["id"], n) for n in (50, 80, 100)]
    assert notices.budget_crossed(told[0]).message == "2 of 2 are spent in this period."


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"measure": "nobody.knows"}, "measure"),
        ({"measure": "events.users"}, "measure"),
        ({"measure": "token_callers.prompt"}, "measure"),
        ({"measure": "executions.count", "hard": True}, "hard"),
        ({"measure": "executions.count", "model": "gpt-4o"}, "model"),
    ],
)
def test_what_cannot_be_used_up_has_no_budget(api, fields, path):
    assert faults(api.post("/api/tokens/budgets", json={"name": "b", "amount_usd": 1, **fields})) == {path}


def test_a_hard_budget_stays_one_of_spend(api):
    made = make(api, hard=True)
    assert faults(api.patch(f"/api/tokens/budgets/{made['id']}", json={"measure": "errors.count"})) == {"measure"}


def test_a_raised_budget_is_told_about_when_it_is_reached_again(api, usage, published):
    made = make(api, amount_usd="0.0035")
    api.send(usage("u1"))
    check()
    api.patch(f"/api/tokens/budgets/{made['id']}", json={"amount_usd": "0.007"})
    check()
    api.send(usage("u2"))
    check()
    assert [event.level for event in published(BudgetCrossed)] == [50, 80, 100, 80, 100]


def test_a_reprice_counts_towards_the_budget(api, usage, drain):
    made = make(api)
    api.send(usage("u1", model="ours"))
    api.put("/api/tokens/prices/ours", json={"input_usd_per_million": 100, "output_usd_per_million": 0})
    drain()
    assert read(api, made["id"])["spent_usd"] == "0.100000000"


def test_budgets_are_read_with_few_statements(api, usage, app):
    from pilothouse.testing import count_queries

    for number in range(20):
        make(api, name=f"b{number}", workflow=f"w{number}")
    with count_queries() as statements:
        assert len(budgets.states(budgets.page(50))) == 20
    assert len(statements) <= 3


def test_who_may_not_manage_budgets_may_see_them(as_role):
    viewer = as_role("viewer")
    assert viewer.get("/api/tokens/budgets").status_code == 200
    assert viewer.post("/api/tokens/budgets", json={"name": "b", "amount_usd": 1}).status_code == 403
    assert as_role("admin").post("/api/tokens/budgets", json={"name": "b", "amount_usd": 1}).status_code == 201
