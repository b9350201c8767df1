"""Trends of any measure: points on the calendar, breakdowns, comparison, and a CSV that says the same."""

from __future__ import annotations

import csv
import io
import random
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telemetry_parts import NOON, count_runs, event

from pilothouse import clock, measure_rollups
from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.testing import count_queries

MIDNIGHT = NOON // DAY * DAY


def trend(api, **query):
    response = api.get("/api/analytics/trends", query_string={"measure": "events.count", **query})
    assert response.status_code == 200, response.text
    return response.json


def values(series):
    return [point["value"] for point in series["points"]]


def exported(api, **query):
    response = api.get("/api/analytics/export.csv", query_string={"measure": "events.count", **query})
    assert response.status_code == 200
    return list(csv.reader(io.StringIO(response.text)))


def test_every_measure_of_every_plugin_is_listed(either):
    data = {line["name"]: line for line in either.get("/api/analytics/measures").json["data"]}
    assert data["tokens.cost_usd"] == {
        "name": "tokens.cost_usd", "title": "Spend", "unit": "USD", "kind": "sum", "dimensions": ["model", "workflow", "agent"],
    }  # fmt: skip
    assert {"events.count", "events.duration_ms", "events.users", "events.sessions", "executions.count"} <= set(data)


def test_a_trend_has_a_point_for_each_bucket_and_adds_up(either):
    either.send(*(event(NOON - hour * HOUR) for hour in range(48)))
    found = trend(either, range="2d", interval="day")
    assert {name: found[name] for name in ("measure", "unit", "interval", "tz", "previous")} == {
        "measure": "events.count", "unit": "1", "interval": "day", "tz": "UTC", "previous": [],
    }  # fmt: skip
    [series] = found["series"]
    assert (series["key"], series["total"], values(series)) == (None, 48, [11, 24, 13])
    assert [point["at"] for point in series["points"]] == [clock.to_rfc3339(MIDNIGHT - day * DAY) for day in (2, 1, 0)]


def test_unfinished_and_cut_buckets_say_so(either):
    [series] = trend(either, range="2d", interval="day")["series"]
    assert [point["complete"] for point in series["points"]] == [False, True, False]
    [series] = trend(either, since=MIDNIGHT - DAY, until=MIDNIGHT, interval="6h")["series"]
    assert [point["complete"] for point in series["points"]] == [True] * 4


def test_counts_of_nothing_are_zero_and_percentiles_of_nothing_are_null(either):
    either.send(event(NOON - HOUR, duration_ms=100))
    [counts] = trend(either, range="3h", interval="hour")["series"]
    [p50] = trend(either, measure="events.duration_ms", stat="p50", range="3h", interval="hour")["series"]
    [users] = trend(either, measure="events.users", range="3h", interval="hour")["series"]
    assert values(counts) == [0, 0, 1, 0]
    assert (values(p50)[:2], values(p50)[3]) == ([None, None], None)
    assert values(p50)[2] == p50["total"] == pytest.approx(100, rel=0.02)
    assert values(users) == [0, 0, 0, 0]


def test_a_time_that_has_not_come_is_null(either):
    either.send(event(NOON))
    [series] = trend(either, since=MIDNIGHT, until=MIDNIGHT + DAY, interval="6h")["series"]
    assert values(series) == [0, 0, 1, None]
    assert [point["complete"] for point in series["points"]] == [True, True, False, False]


def test_a_breakdown_lists_the_largest_series_first(either):
    either.send(*(event(component=name) for name in ("a", "b", "b", "c", "c", "c")), event())
    found = trend(either, by="component", range="1h", interval="hour")["series"]
    assert [(series["key"], series["total"]) for series in found] == [("c", 3), ("b", 2), ("a", 1), (None, 1)]


def test_beyond_the_top_series_the_rest_is_one(either):
    either.send(*(event(component=f"c{n}") for n in range(9) for _ in range(n + 1)))
    found = trend(either, by="component", top=3, range="1h", interval="hour")["series"]
    assert [(series["key"], series["total"]) for series in found] == [("c8", 9), ("c7", 8), ("c6", 7), ("(other)", 21)]


def test_filters_keep_one_value_of_a_dimension(either):
    either.send(event(component="a", ok=True), event(component="a", ok=False), event(component="b", ok=False), event(ok=False))
    assert trend(either, filter=["component:a", "ok:false"])["series"][0]["total"] == 1
    assert trend(either, filter="component:", by="ok")["series"][0]["total"] == 1


def test_money_is_a_decimal_string(either):
    count_runs((NOON, "nightly", "succeeded"), cost=1_234_500)
    count_runs((NOON - HOUR, "nightly", "succeeded"), cost=2_000_000_001)
    [series] = trend(either, measure="tokens.cost_usd", range="2h", interval="hour")["series"]
    assert values(series) == ["0.000000000", "2.000000001", "0.001234500"]
    assert series["total"] == "2.001234501"


def test_a_distribution_shows_what_is_asked_for(either):
    either.send(*(event(duration_ms=ms) for ms in (100, 200, 300, 1_000)))
    totals = {stat: trend(either, measure="events.duration_ms", stat=stat)["series"][0]["total"] for stat in (
        "p50", "p95", "p99", "mean", "count", "sum")}  # fmt: skip
    assert totals == pytest.approx({"p50": 250, "p95": 895, "p99": 979, "mean": 400, "count": 4, "sum": 1_600}, rel=0.02)


def test_the_period_before_is_cut_at_the_same_time(either):
    either.send(*(event(NOON - hour * HOUR) for hour in range(1, 49)))
    found = trend(either, since=MIDNIGHT, until=NOON, interval="6h", compare="previous")
    [series], [before] = found["series"], found["previous"]
    assert len(before["points"]) == len(series["points"])
    assert (series["total"], before["total"]) == (12, 12)
    assert before["points"][0]["at"] == clock.to_rfc3339(MIDNIGHT - 12 * HOUR)


def test_an_unfinished_day_is_compared_with_as_much_of_the_same_day_a_week_before(either):
    either.send(*(event(MIDNIGHT + hour * HOUR) for hour in range(12)))
    either.send(*(event(MIDNIGHT - 7 * DAY + hour * HOUR) for hour in range(24)))
    found = trend(either, since=MIDNIGHT, until=NOON, interval="day", compare="week")
    assert (values(found["series"][0]), values(found["previous"][0])) == ([12], [12])
    assert found["previous"][0]["points"][0]["complete"] is False


def test_both_periods_list_the_same_keys_in_the_same_order(either):
    either.send(event(NOON, component="new"), event(NOON, component="both"), event(NOON - DAY, component="old"),
                event(NOON - DAY, component="both"))  # fmt: skip
    found = trend(either, by="component", range="12h", compare="week")
    assert [series["key"] for series in found["series"]] == [series["key"] for series in found["previous"]] == ["both", "new"]
    found = trend(either, by="component", range="24h", compare="previous")
    assert [(a["key"], a["total"], b["total"]) for a, b in zip(found["series"], found["previous"], strict=True)] == [
        ("both", 1, 1), ("new", 1, 0), ("old", 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("zone", "hours"), [("UTC", [0, 0, 4]), ("Asia/Kolkata", [0, 2, 2]), ("Asia/Kathmandu", [0, 2, 2])])
def test_days_follow_the_time_zone_also_off_the_full_hour(either, zone, hours):
    offset = {"UTC": 0, "Asia/Kolkata": 330, "Asia/Kathmandu": 345}[zone] * MINUTE
    edge = MIDNIGHT + DAY - offset if offset else MIDNIGHT + 6 * HOUR
    edge -= DAY if offset else 0
    either.send(*(event(edge + minutes * MINUTE) for minutes in (-2, -1, 0, 1)))
    measure_rollups.compact()
    [series] = trend(either, since=edge - 36 * HOUR, until=edge + HOUR, interval="day", tz=zone)["series"]
    assert values(series)[-len(hours):] == hours
    assert trend(either, tz=zone)["tz"] == zone


def test_days_over_the_change_of_the_clock_count_their_own_hours(either, now):
    now.at = clock.to_millis(clock.to_datetime(NOON).replace(month=10, day=28))
    october = now.at // DAY * DAY - 4 * DAY  # Saturday 24 October
    either.send(*(event(october - 2 * HOUR + hour * HOUR) for hour in range(24 + 25 + 24)))
    measure_rollups.compact()
    since = october - 2 * HOUR
    [series] = trend(either, since=since, until=since + 73 * HOUR, interval="day", tz="Europe/Berlin")["series"]
    assert values(series) == [24, 25, 24]
    assert [point["complete"] for point in series["points"]] == [True, True, True]


def test_half_hour_days_of_long_ago_are_exact_too(either):
    day = MIDNIGHT - 60 * DAY - 330 * MINUTE
    either.send(*(event(day + minutes * MINUTE) for minutes in (-15, -1, 0, 1, 14)))
    measure_rollups.compact()
    [series] = trend(either, since=day - DAY, until=day + DAY, interval="day", tz="Asia/Kolkata")["series"]
    assert values(series) == [2, 3]


def test_the_csv_says_what_the_api_says(either):
    chance = random.Random(4)
    either.send(*(event(NOON - chance.randrange(5 * DAY), component=chance.choice(["a", "b", "c", None])) for _ in range(200)))
    query = {"range": "4d", "interval": "day", "by": "component", "top": 2, "tz": "Europe/Berlin"}
    header, *rows = exported(either, **query)
    expected = {
        (point["at"], series["key"] or "", str(point["value"]))
        for series in trend(either, **query)["series"]
        for point in series["points"]
    }
    assert header == ["at", "key", "value"]
    assert {tuple(row) for row in rows} == expected
    assert len(rows) == len(expected) == 5 * 3


def test_the_csv_of_many_buckets_is_read_in_windows_and_adds_up(either):
    either.send(*(event(NOON - n * 7 * MINUTE) for n in range(300)))
    header, *rows = exported(either, range="36h", interval="5m")
    assert (header, len(rows)) == (["at", "key", "value"], 36 * 12 + 1)
    assert sum(int(value) for _, _, value in rows) == trend(either, range="36h", interval="5m")["series"][0]["total"] == 300
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_the_csv_lets_no_spreadsheet_run_a_formula(either):
    either.send(event(component="=HYPERLINK(1)"), event(component="+1"), event(component="-2+3"), event(component="@x"))
    keys = {row[1] for row in exported(either, by="component", range="1h", interval="hour")[1:]}
    assert keys == {"'=HYPERLINK(1)", "'+1", "'-2+3", "'@x"}


def test_the_csv_streams_as_an_attachment(either):
    response = either.get("/api/analytics/export.csv?measure=tokens.cost_usd&range=1h&interval=hour")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "analytics.csv" in response.headers["Content-Disposition"]
    assert response.is_streamed
    assert {row[2] for row in csv.reader(io.StringIO(response.text))} == {"value", "0.000000000"}


WRONG = [
    ({"measure": "nobody.knows"}, "measure"), ({"by": "user"}, "by"), ({"interval": "7m"}, "interval"),
    ({"tz": "Mars/Base"}, "tz"), ({"range": "9y"}, "range"), ({"compare": "never"}, "compare"), ({"stat": "p10"}, "stat"),
    ({"top": "0"}, "top"), ({"filter": "component"}, "filter[0]"), ({"filter": "user:ada"}, "filter[0]"),
    ({"range": "90d", "interval": "minute"}, "interval"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "path"), WRONG)
def test_what_does_not_exist_is_refused_by_name(either, query, path):
    for where in ("trends", "export.csv"):
        response = either.get(f"/api/analytics/{where}", query_string={"measure": "events.count", **query})
        assert response.status_code == 422
        assert response.json["errors"][0]["path"] == path


def test_the_measure_must_be_named(either):
    response = either.get("/api/analytics/trends")
    assert response.status_code == 422
    assert "measure" in response.json["detail"]


def test_a_trend_of_ninety_days_is_two_statements(either):
    either.send(*(event(NOON - n * DAY, component="ab"[n % 2]) for n in range(90)))
    measure_rollups.compact()
    with count_queries() as statements:
        found = trend(either, range="90d", interval="day", by="component", compare="previous", tz="Europe/Berlin")
    assert sum("measure_" in statement for statement in statements) == 2
    assert sum(series["total"] for series in found["series"]) == 90


moments = st.integers(0, 6 * DAY // MINUTE).map(lambda minute: NOON - minute * MINUTE)
zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"])
runs = st.lists(st.tuples(moments, st.sampled_from(["a", "b"]), st.integers(0, 10**10)), min_size=1, max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=runs, zone=zones, interval=st.sampled_from(["2h", "day", "week"]))
def test_points_add_up_to_totals_and_to_the_csv_whatever_the_calendar(either, made, zone, interval):
    for at, workflow, cost in made:
        count_runs((at, workflow, "succeeded"), cost=cost)
    query = {"measure": "tokens.cost_usd", "range": "5d", "interval": interval, "tz": zone, "by": "workflow"}
    found = trend(either, **query)["series"]
    measure_rollups.compact()
    again = trend(either, **query)["series"]
    rows = exported(either, **query)[1:]
    for series in found:
        points = sum(Decimal(value) for value in values(series))
        assert Decimal(series["total"]) == points == sum(Decimal(value) for _, key, value in rows if key == series["key"])
    assert found == again
