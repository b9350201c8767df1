"""Usage, breakdown, records and export over HTTP: their shapes, and that they tell the same."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from pilothouse.clock import DAY, HOUR, MINUTE, now, to_rfc3339
from pilothouse.measure_rollups import compact
from pilothouse.web.ranges import Period
from pilothouse_tokens import queries

UTC = ZoneInfo("UTC")

LINE = {
    "calls", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
    "cost_usd", "unpriced_records",
}  # fmt: skip
RECORD = {
    "id", "execution_id", "workflow_id", "agent_id", "model", "prompt_tokens", "completion_tokens", "total_tokens",
    "cost_usd", "created_at", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "split_known", "usage_source",
    "cost_reported", "price_id",
}  # fmt: skip


def read(api, path="usage", **query):
    answer = api.get(f"/api/tokens/{path}", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_nothing_yet_is_nothing(api):
    found = read(api)
    assert found["totals"].keys() >= LINE
    assert (found["totals"]["calls"], found["totals"]["cost_usd"], found["previous"]["calls"]) == (0, "0.000000000", 0)
    assert read(api, "breakdown") == {"data": []}


def test_totals_and_those_of_the_period_before(api, usage):
    at = now()
    api.send(usage("u1", at=at - HOUR, cached_tokens=400, cache_write_tokens=50, reasoning_tokens=20))
    api.send(usage("u2", at=at - 25 * HOUR), usage("u3", at=at - 47 * HOUR), usage("u4", at=at - 49 * HOUR))
    found = read(api, range="24h")
    assert found["totals"] == {
        "calls": 1, "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cached_tokens": 400,
        "cache_write_tokens": 50, "reasoning_tokens": 20, "cost_usd": "0.003000000", "unpriced_records": 0,
    }  # fmt: skip
    assert (found["previous"]["calls"], found["previous"]["cost_usd"]) == (2, "0.007000000")


def test_a_call_at_the_edge_of_two_periods_is_in_one_of_them(api, usage):
    start = now() // MINUTE * MINUTE - 2 * DAY
    api.send(usage("u1", at=start + HOUR), usage("u2", at=start + HOUR - MINUTE))
    found = read(api, since=start + HOUR, until=start + 2 * HOUR)
    assert (found["totals"]["calls"], found["previous"]["calls"]) == (1, 1)


def test_what_runs_now_is_compared_with_as_many_minutes(api, usage):
    until = now() // MINUTE * MINUTE + MINUTE // 2  # of the running minute, which counts whole
    shared = until - DAY - MINUTE // 4
    api.send(usage("u1", at=shared), usage("u2", at=shared - DAY), usage("u3", at=shared - HOUR))
    period = Period(until - DAY, until)
    for found in (queries.usage(period, "hour", UTC), queries.overview(period, "hour", UTC, "model", 5).usage):
        assert (found.totals.calls, found.previous.calls) == (1, 3)
    [(_, line, before)] = queries.overview(period, "hour", UTC, "model", 5).lines
    assert (line.calls, before.calls) == (1, 3)


@pytest.mark.parametrize(("range_", "interval", "points"), [("2h", "minute", 121), ("24h", "hour", 25), ("30d", "day", 31)])
def test_the_series_adds_up_to_the_totals(api, usage, range_, interval, points):
    api.send(*(usage(f"u{n}", at=now() - n * 17 * MINUTE) for n in range(200)))
    found = read(api, range=range_)
    assert found["interval"] == interval
    assert points - 1 <= len(found["series"]) <= points + 1
    for name in ("calls", "prompt_tokens", "completion_tokens"):
        assert sum(point[name] for point in found["series"]) == found["totals"][name]
    assert [point["complete"] for point in found["series"]][-1] is False


def test_days_follow_the_time_zone(api, usage, time_of_day):
    time_of_day.at = 1_774_785_600_000  # 2026-03-29 12:00 UTC; in Berlin the clocks changed that morning
    api.send(usage("u1", at=now() - 14 * HOUR), usage("u2", at=now() - 13 * HOUR))
    days = {line["key"]: line["calls"] for line in read(api, "breakdown", by="day", range="3d", tz="Europe/Berlin")["data"]}
    assert days == {"2026-03-28": 1, "2026-03-29": 1}
    assert [line["key"] for line in read(api, "breakdown", by="day", range="3d")["data"]] == ["2026-03-28"]
    assert read(api, range="3d", tz="Europe/Berlin")["series"][-1]["at"] == to_rfc3339(now() - 13 * HOUR)


@pytest.mark.parametrize("by", ["model", "provider", "agent", "workflow", "user", "key", "day"])
def test_every_breakdown_adds_up_to_the_totals(api, usage, totals, lines, by):
    for number in range(24):
        fields = {"provider": "openai", "agent": "scout", "workflow": "nightly", "user": "ada", "key_id": "k1"}
        named = {name: f"{value}{number % 3}" for name, value in fields.items() if number % 4}
        api.send(usage(f"u{number}", at=now() - number * HOUR, model=("gpt-4o", "ours")[number % 2], **named))
    found = lines(api, by)
    assert all(line.keys() >= LINE | {"key", "share"} for line in found.values())
    for name in LINE - {"cost_usd"}:
        assert sum(line[name] for line in found.values()) == totals(api)[name]
    assert sum(line["share"] for line in found.values()) == pytest.approx(1)
    assert (None in found) == (by not in {"model", "day"})


def test_the_dearest_comes_first(api, usage):
    api.send(usage("u1", model="gpt-4o-mini"), usage("u2"), usage("u3", model="ours", prompt_tokens=9_000_000))
    assert [line["key"] for line in read(api, "breakdown")["data"]] == ["gpt-4o", "gpt-4o-mini", "ours"]


def test_of_many_users_the_dearest_are_told_apart_and_the_rest_is_one_line(api, usage, totals):
    api.send(*(usage(f"u{n}", user=f"user{n:02}", prompt_tokens=1_000 + n) for n in range(30)), usage("nobody"))
    for _ in range(2):
        found = api.get("/api/tokens/breakdown?by=user&top=3&range=30d").json["data"]
        assert [line["key"] for line in found] == ["user29", "user28", "user27", None, "(other)"]
        assert [line["calls"] for line in found] == [1, 1, 1, 1, 27]
        for part in ("calls", "prompt_tokens", "total_tokens", "unpriced_records"):
            assert sum(line[part] for line in found) == totals(api)[part]
        assert sum(Decimal(line["cost_usd"]) for line in found) == Decimal(totals(api)["cost_usd"])
        compact()
    assert api.get("/api/tokens/breakdown?by=user&top=0").json["errors"][0]["path"] == "top"


def test_shares_are_of_the_tokens_where_nothing_is_priced(api, usage):
    api.send(usage("u1", model="ours", prompt_tokens=300, completion_tokens=0))
    api.send(usage("u2", model="theirs", prompt_tokens=100, completion_tokens=0))
    assert [line["share"] for line in read(api, "breakdown")["data"]] == [0.75, 0.25]


def test_the_calls_behind_a_figure_are_listed(api, usage):
    api.send(*(usage(f"u{n}", at=now() - n * HOUR, user=("ada", "bob")[n % 2], execution_id=f"e{n}") for n in range(20)))
    found = read(api, "records", user="ada", range="7d")["data"]
    assert [record["id"] for record in found] == [f"u{n}" for n in range(0, 20, 2)]
    assert found[0].keys() >= RECORD
    assert found[0]["execution_id"] == "e0"


def test_calls_that_name_nobody_are_found(api, usage):
    api.send(usage("u1", user="ada"), usage("u2"), usage("u3", agent="scout", user="ada"))
    assert [record["id"] for record in read(api, "records", without="user")["data"]] == ["u2"]
    assert [record["id"] for record in read(api, "records", without="agent", user="ada")["data"]] == ["u1"]


@pytest.mark.parametrize("range_", ["24h", "90d"])
def test_the_list_of_calls_pages_without_gaps(api, usage, range_):
    start = now() - 20 * HOUR
    api.send(*(usage(f"u{n:02}", at=start + n // 4 * HOUR, model="rare") for n in range(30)))
    seen, cursor = [], None
    while True:
        page = read(api, "records", model="rare", limit=7, range=range_, **({"cursor": cursor} if cursor else {}))
        seen += [record["id"] for record in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 30


def test_the_export_has_the_same_sums(api, usage, totals):
    api.send(*(usage(f"u{n}", at=now() - n * 9 * HOUR, workflow=("nightly", "=cmd()")[n % 2]) for n in range(30)))
    answer = api.get("/api/tokens/export.csv?range=30d")
    assert answer.content_type == "text/csv; charset=utf-8"
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert sum(int(row["calls"]) for row in table) == totals(api)["calls"] == 30
    assert sum(round(float(row["cost_usd"]) * 10**9) for row in table) == round(float(totals(api)["cost_usd"]) * 10**9)
    assert {row["workflow"] for row in table} == {"nightly", "'=cmd()"}
    assert [row["day"] for row in table] == sorted(row["day"] for row in table)


def test_a_year_is_exported_in_steps(api, usage):
    api.send(*(usage(f"u{n}", at=now() - n * 40 * DAY) for n in range(9)))
    assert len(api.get("/api/tokens/export.csv?range=400d").text.strip().splitlines()) == 10


@pytest.mark.parametrize(("path", "field"), [
    ("usage?range=30y", "range"), ("usage?range=401d", "range"), ("usage?tz=Mars/Olympus", "tz"), ("breakdown?by=colour", "by"),
    ("usage?interval=minute&range=30d", "interval"), ("records?limit=0", "limit"), ("records?limit=501", "limit"),
    ("records?cursor=nonsense", "cursor"), ("breakdown?since=tomorrow", "since"),
])  # fmt: skip
def test_what_cannot_be_asked_is_422_and_named(api, path, field):
    answer = api.get(f"/api/tokens/{path}")
    assert answer.status_code == 422, answer.text
    assert answer.json["errors"][0]["path"] == field


def test_every_signed_in_person_may_see_and_nobody_else(as_role, client):
    for path in ("usage", "breakdown", "records", "export.csv", "prices", "budgets", "recommendations"):
        assert as_role("viewer").get(f"/api/tokens/{path}").status_code == 200
        assert client.get(f"/api/tokens/{path}").status_code == 401


def test_a_page_costs_few_statements(api, usage):
    from pilothouse.testing import count_queries

    api.send(*(usage(f"u{n}", at=now() - n * HOUR) for n in range(50)))
    with count_queries() as statements:
        read(api, range="90d")
    assert len([s for s in statements if "measure" in s]) <= 2
    assert not any("token_usage" in s for s in statements)


def test_hours_of_long_ago_are_found_by_their_day(api, usage):
    at = 1_700_158_667_000  # 2023-11-16 18:17:47 UTC
    api.send(usage("u1", at=at), usage("u2", at=at + 2 * HOUR))
    found = read(api, since=to_rfc3339(at - HOUR), until=to_rfc3339(at + 3 * HOUR))
    assert found["totals"]["calls"] == sum(point["calls"] for point in found["series"]) == 2


def test_sums_by_caller_hold_the_calls_of_nobody_too(api, usage):
    api.send(usage("u1", user="ada"), usage("u2", key_id="k1"), usage("u3"))
    found = api.get("/api/analytics/trends?measure=token_callers.prompt&by=user").json["series"]
    assert {series["key"]: series["total"] for series in found} == {"ada": 1000, None: 2000}
