"""Metrics add to measures: the same sums from delta and cumulative points, in both encodings, whatever comes twice."""

from __future__ import annotations

import math
import random
import threading

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from tests.plugins.otel.conftest import Door

from pilothouse import clock, measure_rollups
from pilothouse.clock import DAY, HOUR, MINUTE, SECOND
from pilothouse.measure_reads import read_totals
from pilothouse_otel import service
from pilothouse_otel.points import explicit_buckets, exponential_buckets

MILLION = 1_000_000
DELTA, CUMULATIVE = 1, 2


def export(door, *metrics, service_name="shop", encoding="json"):
    """Send metrics, each as OTLP's JSON has it."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service_name}}]}
    body = {
        "resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {"name": "meter"}, "metrics": list(metrics)}]}]
    }
    if encoding == "json":
        return door.api.post("/v1/metrics", json=body)
    message = json_format.ParseDict(body, ExportMetricsServiceRequest())
    return door.api.post("/v1/metrics", data=message.SerializeToString(), content_type="application/x-protobuf")


def point(value=None, *, at, start=0, attributes=None, **more):
    pairs = [{"key": name, "value": {"stringValue": text}} for name, text in (attributes or {}).items()]
    told = {"asDouble": value} if isinstance(value, float) else {"asInt": str(value)} if value is not None else {}
    return {"timeUnixNano": str(at * MILLION), "startTimeUnixNano": str(start * MILLION), "attributes": pairs, **told, **more}


def counter(*points, name="orders", unit="{order}", temporality=CUMULATIVE, monotonic=True):
    told = {"aggregationTemporality": temporality, "isMonotonic": monotonic, "dataPoints": list(points)}
    return {"name": name, "unit": unit, "sum": told}


def gauge(*points, name="queue.depth", unit="1"):
    return {"name": name, "unit": unit, "gauge": {"dataPoints": list(points)}}


def histogram(counts, total, *, at, start=0, temporality=CUMULATIVE, unit="s", bounds=(0.1, 0.5, 1.0), name="duration"):
    one = point(at=at, start=start, count=str(sum(counts)), sum=total, bucketCounts=list(map(str, counts)),
                explicitBounds=list(bounds))  # fmt: skip
    return {"name": name, "unit": unit, "histogram": {"aggregationTemporality": temporality, "dataPoints": [one]}}


def totals(measure):
    """Return sums by metric, service and attributes: number, total and sketch."""
    return read_totals(measure, 0, clock.now() + DAY)


def counted(*key):
    found = totals("otel.counters").get(key)
    return None if found is None else found.total / 1_000


def values(*key):
    found = totals("otel.values").get(key)
    return None if found is None else (found.count, found.total / 1_000)


ORDERS = ("orders (order)", "shop", None)


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_a_cumulative_counter_counts_what_is_new(door, encoding):
    now = clock.now()
    for passed, value in ((0, 3), (10, 5), (20, 5), (30, 12)):
        answer = export(door, counter(point(value, at=now + passed * SECOND, start=now - MINUTE)), encoding=encoding)
        assert answer.status_code == 200
    assert counted(*ORDERS) == 12


def test_a_delta_counter_adds_up(door):
    now = clock.now()
    for passed in range(4):
        export(door, counter(point(2.5, at=now + passed * SECOND, start=now), temporality=DELTA, unit=""))
    assert counted("orders", "shop", None) == 10


def test_what_comes_twice_or_late_counts_once(door):
    now = clock.now()
    for temporality, name in ((DELTA, "deltas"), (CUMULATIVE, "all")):
        first, second = (
            counter(point(5, at=now + s * SECOND, start=now - MINUTE), name=name, temporality=temporality) for s in (0, 9)
        )
        for told in (first, first, second, first, second):
            export(door, told)
    assert (counted("deltas (order)", "shop", None), counted("all (order)", "shop", None)) == (10, 5)


def test_a_program_that_started_anew_starts_over(door):
    now = clock.now()
    export(door, counter(point(40, at=now, start=now - MINUTE)))
    export(door, counter(point(4, at=now + SECOND, start=now + 500)))
    export(door, counter(point(6, at=now + 2 * SECOND, start=now + 500)))
    export(door, counter(point(2, at=now + 3 * SECOND, start=now + 500)))  # it forgot to say that it began anew
    assert counted(*ORDERS) == 48


def test_of_a_program_that_ran_for_long_the_first_point_is_where_counting_begins(door):
    now = clock.now()
    for passed, value in ((0, 1_000_000), (10, 1_000_007)):
        export(door, counter(point(value, at=now + passed * SECOND, start=now - 5 * HOUR)))
    assert counted(*ORDERS) == 7


def test_gauges_and_up_down_counters_are_seen(door):
    now = clock.now()
    export(door, gauge(point(4, at=now), point(-2.5, at=now, attributes={"queue": "mail"})))
    export(door, gauge(point(8, at=now + SECOND)))
    export(door, counter(point(3, at=now), name="open", monotonic=False, temporality=DELTA, unit="1"))
    export(door, counter(point(-1, at=now + SECOND), name="open", monotonic=False, temporality=DELTA, unit="1"))
    assert values("queue.depth", "shop", None) == (2, 12)
    assert values("queue.depth", "shop", "queue=mail") == (1, -2.5)
    assert values("open", "shop", None) == (2, 5)  # 3, then 2 were open


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE])
def test_histograms_keep_number_and_sum_exactly_in_milliseconds(door, encoding, temporality):
    now = clock.now()
    export(door, histogram([10, 5, 1, 0], 3.25, at=now, start=now - MINUTE, temporality=temporality), encoding=encoding)
    second = ([2, 0, 0, 1], 4.5) if temporality == DELTA else ([12, 5, 1, 1], 7.75)
    export(door, histogram(*second, at=now + SECOND, start=now - MINUTE, temporality=temporality), encoding=encoding)
    found = totals("otel.values")["duration (ms)", "shop", None]
    assert (found.count, found.total / 1_000) == (19, 7_750)
    assert (
        found.sketch.counts().total() if hasattr(found.sketch.counts(), "total") else sum(found.sketch.counts().values()) == 19
    )
    assert [round(value / 1_000) for value in found.sketch.percentiles(0.25, 0.85)] == pytest.approx([50, 300], rel=0.03)


def test_a_histogram_without_buckets_has_number_and_sum(door):
    now = clock.now()
    export(door, histogram([7], 14.0, at=now, start=now - SECOND, bounds=(), unit="By"))
    assert values("duration (By)", "shop", None) == (7, 14)


def test_exponential_histograms_and_summaries(door):
    now = clock.now()
    told = point(
        at=now,
        start=now - SECOND,
        count="7",
        sum=60.0,
        scale=1,
        zeroCount="1",
        positive={"offset": 2, "bucketCounts": ["4", "2"]},
    )
    exponential = {"name": "size", "exponentialHistogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": [told]}}
    summary = {"name": "old", "summary": {"dataPoints": [point(at=now, start=now - SECOND, count="3", sum=9.0)]}}
    for encoding in ("json", "protobuf"):
        assert export(door, exponential, summary, encoding=encoding).status_code == 200
    found = totals("otel.values")["size", "shop", None]
    assert (found.count, found.total / 1_000) == (7, 60)
    assert round(found.sketch.percentiles(0.5)[0] / 1_000, 1) == pytest.approx(2**1.25, rel=0.03)
    assert values("old", "shop", None) == (3, 9)


def test_buckets_have_their_middles():
    assert explicit_buckets([1.0, 3.0], [2, 4, 5]) == {0.5: 2, 2.0: 4, 3.0: 5}
    assert explicit_buckets([-4.0, 0.0], [1, 1, 1]) == {-4.0: 1, -2.0: 1, 0.0: 1}
    assert explicit_buckets([1.0], [1]) == {}
    assert exponential_buckets(0, 0, 0, [1, 0, 3]) == {2**0.5: 1, 2**2.5: 3}
    assert exponential_buckets(0, 0, 0, [2], sign=-1) == {-(2**0.5): 2}
    assert exponential_buckets(-20, 0, 2**31, [1]) == {}


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (gauge(point("NaN", at=1)), "finite"),
        (gauge({"timeUnixNano": str(10**18), "asDouble": "Infinity"}), "finite"),
        (gauge(point(1, at=0)), "timeUnixNano"),
        (gauge(point(1, at=clock.now() + 3 * DAY)), "timeUnixNano"),
        (gauge(point(1, at=1), name=""), "name"),
        ({"name": "x", "gauge": {"dataPoints": 7}}, "array"),
    ],
)
def test_what_is_no_point_is_refused_and_takes_no_other_along(door, metric, words):
    answer = export(door, metric, gauge(point(1, at=clock.now()), name="good"))
    assert answer.json["partialSuccess"]["rejectedDataPoints"] == "1"
    assert words in answer.json["partialSuccess"]["errorMessage"]
    assert values("good", "shop", None) == (1, 1)


def test_a_point_without_a_value_is_passed_over(door):
    assert export(door, gauge(point(1, at=clock.now(), flags=1))).json == {}
    assert totals("otel.values") == {}


def test_secrets_are_not_kept(door):
    leaked = "sk-proj-" + "a1B2c3D4" * 6
    export(door, gauge(point(1, at=clock.now(), attributes={"api_key": "hunter2hunter2", "path": leaked, "\0x": "y\0"})))
    [(_, _, attributes)] = totals("otel.values")
    assert "hunter2" not in str(attributes)
    assert leaked not in str(attributes)
    assert "\0" not in str(attributes)


def test_series_without_end_do_not_fill_the_disk(door, monkeypatch):
    monkeypatch.setattr(service, "MOST_SERIES", 3)
    answer = export(door, gauge(*(point(1, at=clock.now(), attributes={"id": str(n)}) for n in range(5))))
    assert answer.json["partialSuccess"]["rejectedDataPoints"] == "2"
    assert "series" in answer.json["partialSuccess"]["errorMessage"]


def test_series_that_nobody_tells_of_are_forgotten(door, time_of_day):
    export(door, counter(point(5, at=clock.now(), start=clock.now() - MINUTE)))
    time_of_day.pass_by(3 * DAY)
    service.forget()
    export(door, counter(point(9, at=clock.now(), start=clock.now() - 3 * DAY)))
    assert counted(*ORDERS) == 5


def test_huge_values_stop_nothing(door):
    now = clock.now()
    for passed in range(40):
        assert export(door, gauge(point(1e300, at=now + passed, attributes={}), name="huge")).status_code == 200
    for counts in ([2**62, 1], [-1, 3]):
        answer = export(door, histogram(counts, 1e300, at=now, start=now - 1, bounds=(1.0,)))
        assert answer.json["partialSuccess"]["rejectedDataPoints"] == "1"
    for passed in range(9):
        export(
            door, histogram([2**40, 2**40], 1e300, at=now + passed, start=now, bounds=(1e300,), temporality=DELTA, name="many")
        )
    measure_rollups.compact({})
    assert door.api.get("/api/analytics/trends?measure=otel.values&range=24h&by=metric").status_code == 200


BIG = 1.7e308  # about what a double holds


@pytest.mark.parametrize(
    "told",
    [
        lambda at: [gauge(point(BIG, at=at), unit="s")],
        lambda at: [counter(point(-BIG, at=at)), counter(point(BIG, at=at + 1))],
        lambda at: [counter(point(BIG, at=at + n), temporality=DELTA, monotonic=False) for n in range(3)],
        lambda at: [histogram([1], -BIG, at=at, bounds=()), histogram([2], BIG, at=at + 1, bounds=(), unit="h")],
        lambda at: [histogram([n, n], n * (BIG / 4), at=at + n, bounds=(BIG / 4,), unit="min") for n in range(1, 4)],
    ],
    ids=["seconds", "counter", "sum", "histogram", "buckets"],
)
def test_values_at_the_end_of_what_numbers_hold_are_kept_as_the_largest(door, told):
    assert [export(door, one, encoding="protobuf").status_code for one in told(clock.now())] == [200] * len(told(0))
    measure_rollups.compact({})
    for measure in ("otel.values", "otel.counters"):
        assert door.api.get(f"/api/analytics/trends?measure={measure}&range=24h&by=metric").status_code == 200


def test_the_analytics_page_and_the_sources_know_them(door):
    now = clock.now()
    export(door, counter(point(5, at=now, start=now - MINUTE)), counter(point(5, at=now, start=now - MINUTE)))
    named = {one["name"]: one["dimensions"] for one in door.api.get("/api/analytics/measures").json["data"]}
    assert named["otel.counters"] == named["otel.values"] == ["metric", "service", "attributes"]
    [series] = door.api.get("/api/analytics/trends?measure=otel.counters&range=24h&by=metric").json["series"]
    assert (series["key"], float(series["total"])) == ("orders (order)", 5)
    [source] = door.api.get("/api/sources").json["data"]
    assert (source["accepted"], source["duplicates"]) == (1, 1)


def test_random_walks_add_up_however_they_are_told_on_either_database(either_app, either_door):
    dice = random.Random(7)
    now, running, steps = clock.now(), 0, [dice.randrange(50) for _ in range(30)]
    told = []
    for place, step in enumerate(steps):
        running += step
        told.append(counter(point(running, at=now + place * SECOND, start=now - SECOND), name="all"))
        told.append(counter(point(step, at=now + place * SECOND, start=now), name="each", temporality=DELTA))
    for one in told:
        for _ in range(dice.randrange(1, 3)):
            assert export(either_door, one).status_code == 200
    assert counted("all (order)", "shop", None) == counted("each (order)", "shop", None) == sum(steps)


def test_many_exporters_at_once_count_exactly_on_either_database(either_app, either_door):
    now = clock.now()

    def send(part):
        with either_app.app_context():
            door = Door(either_app.test_client(), either_door.api.token)
            for number in range(1, 6):
                told = counter(point(number * 10, at=now + number, start=now - SECOND, attributes={"worker": str(part % 3)}))
                assert export(door, told).status_code == 200

    threads = [threading.Thread(target=send, args=(part,)) for part in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = totals("otel.counters")
    assert {key[2]: entry.total / 1_000 for key, entry in found.items()} == {f"worker={n}": 50 for n in range(3)}
    assert math.isclose(sum(entry.total for entry in found.values()), 150_000)
