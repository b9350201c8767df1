"""Trends of any measure: its points over time, broken down by a dimension, beside an earlier period.

Every figure is made of the same sums, so API, CSV and charts cannot differ. What a point says depends on the measure's kind:
how many (`count`), the sum in the measure's unit (`sum`; money as a decimal string), a percentile or the mean
(`distribution`), how many different things (`distinct`). A bucket without observations is 0 where things are counted or
summed, and null where there is nothing to say: a percentile of nothing, a time that has not come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from pilothouse.sdk import NANO, OTHER, Ask, Invalid, Measure, Sum, Values, declared, now, read_all, runtime, to_usd
from pilothouse_telemetry.intervals import Buckets, Interval, earlier
from pilothouse_telemetry.models import WEEK, week_of

WINDOW = 50  # buckets that an export reads at a time
Compare = Literal["previous", "week"]
Stat = Literal["p50", "p95", "p99", "mean", "count", "sum"]
Value = int | float | str | None
FRACTIONS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a measure over buckets, by a dimension, of what has the values in `where`.

    `back` is how many ms earlier the period to compare with lies. `stat` is what a distribution shows; `top` is how many
    series are listed before the rest becomes OTHER.
    """

    measure: Measure
    buckets: Buckets
    interval: Interval
    zone: ZoneInfo
    by: str | None = None
    back: int | None = None
    where: Mapping[str, str | None] = field(default_factory=dict)
    stat: Stat = "p95"
    top: int = 50


@dataclass(slots=True)
class Line:
    """One series: its key (null: not given, or the whole), its figure over the whole period and one for each bucket."""

    key: str | None
    total: Value
    values: list[Value]


def find_measure(name: str) -> Measure:
    """Return a measure that some plugin declares. Raises Invalid."""
    found = declared(name)
    if found is None:
        raise Invalid.field("measure", "is none of the measures that /api/analytics/measures lists")
    return found


def measures() -> list[Measure]:
    """Return every plugin's measures by name."""
    return sorted((measure for _, measure in runtime().registry.all("measures")), key=lambda measure: measure.name)


def is_money(measure: Measure) -> bool:
    """Say whether a measure's values are nano-dollars."""
    return measure.kind == "sum" and measure.scale == NANO and measure.unit.upper() == "USD"


def figure(measure: Measure, found: Sum | None, stat: Stat) -> Value:
    """Return what a sum says: a number in the measure's unit, a decimal string for money, None where there is nothing."""
    found = found or Sum()
    if measure.kind == "distinct":
        return found.distinct
    if measure.kind == "count" or (measure.kind == "distribution" and stat == "count"):
        return found.count
    if is_money(measure):
        return to_usd(found.total)
    if measure.kind == "sum" or stat == "sum":
        return found.total if measure.scale == 1 else round(found.total / measure.scale, 6)
    if stat == "mean":
        return round(found.total / found.count / measure.scale, 3) if found.count else None
    value = found.sketch.percentiles(FRACTIONS[stat])[0] if found.sketch is not None else None
    return None if value is None else round(value / measure.scale, 3)


def trend(question: Question) -> list[tuple[Buckets, list[Line]]]:
    """Return the buckets and series of the period, and of the one to compare with: the same keys in the same order."""
    spans = [question.buckets]
    if question.back is not None:
        spans.append(earlier(question.buckets, question.back, question.zone))
    since = question.buckets.bounds[0]
    answers = read_all([_ask(question, span.bounds, joined=span.bounds[-1] == since) for span in spans])
    keys = _keys(question, [_whole(answer) for answer in answers])
    return [(span, _lines(question, span, answer, keys)) for span, answer in zip(spans, answers, strict=True)]


def rows(question: Question) -> Iterator[tuple[int, str | None, Value]]:
    """Yield (start, key, value) of every point, the earliest first; buckets are read a window at a time."""
    starts, bounds = question.buckets.starts, question.buckets.bounds
    keys = _keys(question, [] if question.by is None else [_totals(question, bounds[0], bounds[-1])])
    for first in range(0, len(starts), WINDOW):
        window = bounds[first : first + WINDOW + 1]
        ask = _ask(question, window, joined=first + WINDOW < len(starts))
        for place, bucket in enumerate(read_all([ask])[0], first):
            folded = _folded(bucket, keys)
            for key in keys:
                yield starts[place], key, _value(question, bounds[place : place + 2], folded.get(key))


def _ask(question: Question, bounds: Sequence[int], *, joined: bool = False) -> Ask:
    by = () if question.by is None else (question.by,)
    return Ask(question.measure.name, bounds, by, question.where, joined=joined)


def _totals(question: Question, since: int, until: int) -> dict[Values, Sum]:
    """Return the sums over a period, read a week at a time: thousands of keys would else hold all of its roll-ups in memory."""
    ends = [since, *range(week_of(since) + WEEK, until, WEEK), until]
    return _whole(read_all([_ask(question, part, joined=part[1] < until)])[0][0] for part in pairwise(ends))


def _whole(answer: Iterable[Mapping[Values, Sum]]) -> dict[Values, Sum]:
    whole: dict[Values, Sum] = {}
    for bucket in answer:
        for values, found in bucket.items():
            whole.setdefault(values, Sum()).merge(found)
    return whole


def _keys(question: Question, wholes: Sequence[Mapping[Values, Sum]]) -> list[str | None]:
    """Return the keys to list: the largest first, by the period that is asked for and then by the earlier one."""
    if question.by is None:
        return [None]

    def size(values: Values) -> tuple[float, ...]:
        return tuple(_size(question.measure, whole.get(values)) for whole in wholes)

    found = {values for whole in wholes for values, total in whole.items() if not total.empty}
    ordered = [values[0] for values in sorted(sorted(found, key=str), key=size, reverse=True)]
    listed = [key for key in ordered if key != OTHER][: question.top]
    return listed if len(listed) == len(ordered) else [*listed, OTHER]


def _lines(question: Question, span: Buckets, answer: Sequence[Mapping[Values, Sum]], keys: list[str | None]) -> list[Line]:
    folded = [_folded(bucket, keys) for bucket in answer]
    whole = _folded(_whole(answer), keys)
    return [
        Line(
            key,
            figure(question.measure, whole.get(key), question.stat),
            [_value(question, span.bounds[place : place + 2], bucket.get(key)) for place, bucket in enumerate(folded)],
        )
        for key in keys
    ]


def _folded(bucket: Mapping[Values, Sum], keys: Sequence[str | None]) -> dict[str | None, Sum]:
    """Return the sums by key; what is not listed goes to OTHER."""
    listed = set(keys)
    folded: dict[str | None, list[Sum]] = {}
    for values, found in bucket.items():
        key = values[0] if values else None
        folded.setdefault(key if key in listed else OTHER, []).append(found)
    return {key: sums[0] if len(sums) == 1 else _together(sums) for key, sums in folded.items()}


def _together(sums: Iterable[Sum]) -> Sum:
    whole = Sum()
    for found in sums:
        whole.merge(found)
    return whole


def _value(question: Question, ends: Sequence[int], found: Sum | None) -> Value:
    """Return a point's figure; None for a time that has not come, and where the clock leaves no time at all."""
    start, end = ends
    if start >= now() or start == end:
        return None
    return figure(question.measure, found, question.stat)


def _size(measure: Measure, found: Sum | None) -> float:
    if found is None:
        return 0.0
    return float(found.total if measure.kind == "sum" else found.distinct if measure.kind == "distinct" else found.count)
