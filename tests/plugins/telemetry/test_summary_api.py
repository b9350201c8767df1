"""Summary, components, performance and engagement: each figure against an exact count."""

from __future__ import annotations

import random

import pytest
from telemetry_parts import NOON, count_runs, event

from pilothouse import clock, measure_rollups
from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.testing import count_queries


def test_a_summary_has_the_period_and_the_one_before(either):
    either.send(
        event(NOON - HOUR, user="ada", session="s1", ok=True, duration_ms=100),
        event(NOON - 2 * HOUR, user="ada", session="s2", ok=False, duration_ms=100),
        event(NOON - 3 * HOUR, user="bob", ok=True),
        event(NOON - 30 * HOUR, user="eve", session="s3", ok=False, duration_ms=50),
    )
    found = either.get("/api/telemetry/summary?range=24h").json
    assert {name: found[name] for name in ("events", "users", "sessions", "errors")} == {
        "events": 3, "users": 2, "sessions": 2, "errors": 1,
    }  # fmt: skip
    assert found["error_rate"] == pytest.approx(1 / 3)
    assert found["p95_ms"] == pytest.approx(100, rel=0.02)
    assert found["previous"] == found["previous"] | {"events": 1, "users": 1, "errors": 1, "error_rate": 1}


def test_a_summary_of_nothing_has_no_rates_and_no_percentiles(either):
    found = either.get("/api/telemetry/summary").json
    assert (found["events"], found["users"], found["error_rate"], found["p50_ms"]) == (0, 0, None, None)
    assert set(found) == {
        "events", "users", "sessions", "errors", "error_rate", "p50_ms", "p95_ms", "p99_ms", "previous",
    }  # fmt: skip


def test_a_relative_period_does_not_take_in_what_is_exactly_as_old(either, now):
    now.at += 25_000
    either.send(event(now.at - 7 * DAY), event(now.at - 7 * DAY + MINUTE), event(now.at))
    assert either.get("/api/telemetry/summary?range=7d").json["events"] == 2


def test_a_period_with_both_ends_is_exact_to_the_minute(either):
    either.send(*(event(NOON - minute * MINUTE) for minute in range(60)))
    since, until = NOON - 20 * MINUTE, NOON - 10 * MINUTE
    assert either.get(f"/api/telemetry/summary?since={since}&until={until}").json["events"] == 10
    zoned = f"since={clock.to_rfc3339(since)}&until={clock.to_rfc3339(until)}"
    assert either.get(f"/api/telemetry/summary?{zoned}").json["events"] == 10


def test_components_are_listed_the_busiest_first(either):
    either.send(
        event(component="search", ok=True, user="ada", duration_ms=10), event(component="search", ok=False, user="bob"),
        event(component="reports", ok=True, user="ada"), event(ok=True),
    )  # fmt: skip
    data = either.get("/api/telemetry/components").json["data"]
    assert [(line["component"], line["events"], line["users"], line["errors"]) for line in data] == [
        ("search", 2, 2, 1), (None, 1, 0, 0), ("reports", 1, 1, 0),
    ]  # fmt: skip
    assert data[0]["error_rate"] == 0.5
    assert data[0]["p99_ms"] == pytest.approx(10, rel=0.02)


def test_percentiles_are_within_two_percent_of_the_exact_ones(either):
    chance = random.Random(2)
    values = sorted(chance.lognormvariate(5, 1.5) for _ in range(3_000))
    for start in range(0, 3_000, 600):
        either.send(*(event(NOON - chance.randrange(9 * HOUR), duration_ms=v) for v in values[start : start + 600]))
        measure_rollups.compact()
    found = either.get("/api/telemetry/summary").json
    for name, fraction in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        assert found[name] == pytest.approx(values[round(fraction * 2_999)], rel=0.02)


def test_many_users_are_counted_within_two_percent(either):
    for start in range(0, 9_000, 3_000):
        either.send(*(event(NOON - n * 1_000, user=f"user {n}") for n in range(start, start + 3_000)))
        measure_rollups.compact()
    assert either.get("/api/telemetry/summary").json["users"] == pytest.approx(9_000, rel=0.02)


def test_performance_is_by_component_and_by_workflow_of_any_plugin(either):
    either.send(event(component="search", ok=False, duration_ms=30), event(component="search", ok=True, duration_ms=30))
    count_runs(*((NOON, "nightly", "succeeded") for _ in range(6)), (NOON, "nightly", "failed"), ms=2_000)
    count_runs((NOON, "nightly", "timed_out"), (NOON, "nightly", "running"), (NOON, "weekly", "running"))
    found = either.get("/api/analytics/performance").json
    assert [(line["name"], line["count"], line["error_rate"]) for line in found["components"]] == [("search", 2, 0.5)]
    assert [(line["name"], line["count"], line["error_rate"]) for line in found["workflows"]] == [
        ("nightly", 9, 0.25), ("weekly", 1, None),
    ]  # fmt: skip
    assert found["workflows"][0]["p50_ms"] == pytest.approx(2_000, rel=0.02)
    assert found["workflows"][1]["p50_ms"] is None


def test_engagement_counts_people_by_day_week_and_month(either):
    ages = {"ada": [0, 1, 2], "bob": [0, 8], "cleo": [20], "dan": [40], "eve": [6.9]}
    either.send(*(event(int(NOON - age * DAY), user=name) for name, days in ages.items() for age in days))
    found = either.get("/api/analytics/engagement?range=3d").json
    assert [(day["at"][:10], day["value"]) for day in found["daily"]] == [
        ("2026-09-18", 0), ("2026-09-19", 1), ("2026-09-20", 1), ("2026-09-21", 2),
    ]  # fmt: skip
    assert (found["weekly"], found["monthly"], found["stickiness"]) == (3, 4, 0.5)


def test_engagement_tells_new_people_from_those_who_came_back(either):
    either.send(event(NOON - 20 * DAY, user="old"), event(NOON - DAY, user="old"), event(NOON - DAY, user="new"))
    either.send(event(NOON - 50 * DAY, user="gone"))
    found = either.get("/api/analytics/engagement?range=7d").json
    assert (found["new"], found["returning"]) == (1, 1)
    assert either.get("/api/analytics/engagement?range=40d").json["new"] == 2


def test_days_of_engagement_follow_the_time_zone(either):
    midnight = NOON // DAY * DAY
    either.send(event(midnight - 30 * MINUTE, user="ada"), event(midnight - 3 * HOUR, user="bob"))
    path = "/api/analytics/engagement?range=2d&tz="
    days = {zone: either.get(path + zone).json["daily"] for zone in ("UTC", "Europe/Berlin")}
    assert [day["value"] for day in days["UTC"]] == [0, 2, 0]
    assert [day["value"] for day in days["Europe/Berlin"]] == [0, 1, 1]
    assert days["Europe/Berlin"][-1]["at"] == "2026-09-20T22:00:00.000Z"


def test_engagement_of_nobody_has_no_stickiness(either):
    found = either.get("/api/analytics/engagement").json
    assert (found["monthly"], found["stickiness"], found["new"], found["returning"]) == (0, None, 0, 0)


@pytest.mark.parametrize("path", ["telemetry/summary", "telemetry/components", "analytics/performance", "analytics/engagement"])
@pytest.mark.parametrize("query", ["range=5y", "range=401d", "range=", "since=5&until=3", "since=tomorrow"])
def test_a_period_that_is_none_is_refused_by_name(either, path, query):
    response = either.get(f"/api/{path}?{query}")
    if query == "range=":
        assert response.status_code == 200
    else:
        assert response.status_code == 422
        assert response.json["errors"][0]["path"] in {"range", "since"}


def test_figures_read_roll_ups_and_no_rows_of_events(either):
    either.send(*(event(NOON - n * MINUTE, component="a", user="ada") for n in range(50)))
    measure_rollups.compact()
    for path in ("telemetry/summary", "telemetry/components", "analytics/performance"):
        with count_queries() as statements:
            either.get(f"/api/{path}?range=90d")
        assert not any(" events" in statement for statement in statements)
        assert sum("measure_" in statement for statement in statements) <= 4


def test_events_are_listed_newest_first_with_filters_and_a_cursor(either):
    either.send(*(event(NOON - n * MINUTE, id=f"e{n}", component="ab"[n % 2], ok=n % 3 > 0) for n in range(9)))
    first = either.get("/api/telemetry/events?limit=4").json
    second = either.get(f"/api/telemetry/events?limit=9&cursor={first['next_cursor']}").json
    assert [row["id"] for row in first["data"] + second["data"]] == [f"e{n}" for n in range(9)]
    only = either.get("/api/telemetry/events?component=a&failed=true").json["data"]
    assert [row["id"] for row in only] == ["e0", "e6"]
    since, until = NOON - 5 * MINUTE, NOON - 2 * MINUTE
    between = either.get(f"/api/telemetry/events?since={since}&until={until}").json["data"]
    assert [row["id"] for row in between] == ["e3", "e4", "e5"]
    assert len(either.get("/api/telemetry/events?range=3m").json["data"]) == 3
