"""Metrics become two measures: what counters counted, and what gauges and histograms saw, by metric, program and attributes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from pilothouse.sdk import DAY, Deltas, Measure, clean_text, needs_cleaning
from pilothouse_otel.cleaning import is_secret_name
from pilothouse_otel.points import MILLION, News, Point, text_of
from pilothouse_otel.spans import Refused

COUNTERS, VALUES = "otel.counters", "otel.values"
DIMENSIONS = ("metric", "service", "attributes")
SCALE = 1_000  # values are kept as whole thousandths; times are in ms, so to the microsecond
MOST_COUNTED = 2**40  # observations of one point; a year of a million a second has 30 times as many
LARGEST = 2**53 - 1  # of one value as it is kept: exact in every JSON reader
MEASURES = (
    Measure(COUNTERS, "Counters of OpenTelemetry", "1", "sum", DIMENSIONS, scale=SCALE),
    Measure(VALUES, "Values of OpenTelemetry", "1", "distribution", DIMENSIONS, scale=SCALE),
)


def readable(points: Iterable[Point], now: int, refused: Refused) -> Iterator[Point]:
    """Yield the points that can be kept, times in ms; the others are counted as refused. `now` is in ms."""
    for point in points:
        numbers = (point.value, *(() if point.total is None else (point.total,)), *point.observed)
        if not point.metric:
            refused.add("a metric needs a name")
        elif not 0 < point.at <= (now + DAY) * MILLION:
            refused.add("timeUnixNano must be a time that is not more than 24 hours in the future")
        elif not all(map(math.isfinite, numbers)):
            refused.add("a data point must be a finite number")
        elif not all(0 <= count <= MOST_COUNTED for count in (point.count, *point.observed.values())):
            refused.add(f"a histogram counts from 0 to {MOST_COUNTED}")
        else:
            yield point.in_milliseconds()


def clean_points(points: list[Point]) -> None:
    """Clean points in place: what is found in metrics stays there for months."""
    texts = {text for point in points for text in (point.metric, point.service() or "", *_texts(point))}
    dirty = needs_cleaning("\n".join(texts).encode("utf-8", "replace")) or any("\0" in text for text in texts)
    for point in points:
        secret = [name for name in point.attributes if is_secret_name(name)]
        if not secret and not dirty:
            continue
        point.metric = clean_text(point.metric)
        point.attributes = {
            clean_text(name): clean_text(value) if isinstance(value, str) else value
            for name, value in point.attributes.items() if name not in secret
        }  # fmt: skip
        told = point.resource.items()
        point.resource = {name: clean_text(value) if isinstance(value, str) else value for name, value in told}


def _texts(point: Point) -> Iterator[str]:
    yield from point.attributes
    yield from (value for value in point.attributes.values() if isinstance(value, str))


def add(deltas: Deltas, point: Point, news: News) -> None:
    """Add what a point tells anew to the measures, in its minute."""
    dimensions = (point.label(), point.service(), text_of(point.attributes) or None)
    at = point.at // MILLION
    if news.counted is not None:
        deltas.add(COUNTERS, at, dimensions, total=kept(news.counted))
    elif news.seen is not None:
        deltas.add(VALUES, at, dimensions, value=kept(news.seen))
    else:
        _add_histogram(deltas, at, dimensions, news)


def _add_histogram(deltas: Deltas, at: int, dimensions: tuple[str | None, ...], news: News) -> None:
    """Add a histogram: number and sum as they were told, percentiles from the middles of its buckets."""
    left, told = news.count, 0
    for middle, number in news.observed:
        deltas.add(VALUES, at, dimensions, count=number, value=kept(middle))
        left, told = left - number, told + number * kept(middle)
    exact = told if news.total is None else kept(news.total)
    if left > 0 or exact != told:
        deltas.add(VALUES, at, dimensions, count=max(left, 0), total=exact - told)


def kept(value: float) -> int:
    """Return a value as it is kept."""
    return max(-LARGEST, min(round(value * SCALE), LARGEST))

