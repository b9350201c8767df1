"""Data points of metrics: what both encodings are read into, and what a point adds to what its series said before.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/. A cumulative point tells all since its series began, so what is
new is the difference to the last one; a series that began anew starts over. A point that is not newer than the last one of
its series was told already: exporters send again what they had no answer to.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from pilothouse.sdk import HOUR
from pilothouse_otel.spans import Attributes
from pilothouse_otel.values import first_text

Kind = Literal["gauge", "sum", "histogram"]

KINDS: dict[str, Kind] = {
    "gauge": "gauge", "sum": "sum", "histogram": "histogram", "exponential_histogram": "histogram", "summary": "histogram",
}  # fmt: skip
TEMPORAL = frozenset({"sum", "histogram", "exponential_histogram"})  # a summary is always cumulative
DELTA = 1  # AGGREGATION_TEMPORALITY_DELTA
NO_VALUE = 1  # DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
MILLION = 1_000_000  # nanoseconds in a millisecond
FRESH = HOUR * MILLION  # of a series that began longer ago than this the first point is no news, only where to count from
LONGEST_LABEL = 255
LARGEST = 1e300  # of a value: differences, sums and thousandths of such are numbers too, which those of 1e308 are not
_MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6}  # UCUM's units of time


class Point(msgspec.Struct, kw_only=True, gc=False):
    """One data point; times are Unix ns. A histogram has `count`, `total` and, by the middle of its bucket, `observed`."""

    metric: str
    unit: str
    kind: Kind
    monotonic: bool
    delta: bool
    start: int
    at: int
    value: float = 0.0
    count: int = 0
    total: float | None = None
    observed: dict[float, int] = {}
    attributes: Attributes
    resource: Attributes
    scope: str
    place: int

    def in_milliseconds(self) -> Point:
        """Return the point with times in ms, whatever unit of time it is in, and no value beyond `LARGEST`."""
        factor = _MILLISECONDS.get(self.unit, 1.0)
        if factor == 1.0 and self.kind != "histogram" and abs(self.value) <= LARGEST:
            return self
        unit = "ms" if self.unit in _MILLISECONDS else self.unit
        observed = {within(middle * factor): number for middle, number in self.observed.items()}
        total = None if self.total is None else within(self.total * factor)
        return msgspec.structs.replace(self, unit=unit, value=within(self.value * factor), total=total, observed=observed)

    def label(self) -> str:
        """Return the metric's name with its unit."""
        unit = self.unit.strip("{} ")
        return f"{self.metric} ({unit})"[:LONGEST_LABEL] if unit not in {"", "1"} else self.metric[:LONGEST_LABEL]

    def service(self) -> str | None:
        """Return the name of the program that measured."""
        return first_text(self.resource, ("service.name",))

    def series(self) -> str:
        """Return what the series is known by: everything that tells it from another one."""
        told = [self.metric, self.unit, self.kind, self.delta, self.scope, sorted(self.attributes.items(), key=str),
                sorted(self.resource.items(), key=str)]  # fmt: skip
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]


class State(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the last point of a series said."""

    start: int
    at: int
    value: float = 0.0
    count: int = 0
    total: float = 0.0
    observed: dict[str, int] = {}


class News(msgspec.Struct, kw_only=True):
    """What a point adds: to a counter, or observations of values. `observed` are the middles of buckets with their numbers."""

    counted: float | None = None
    seen: float | None = None
    count: int = 0
    total: float | None = None
    observed: list[tuple[float, int]] = []


def advance(before: State | None, point: Point) -> tuple[State, News | None] | None:
    """Return the series' new state and what is new; None where the point was told before, no news where it only begins."""
    if before is not None and point.at <= before.at:
        return None
    if point.kind == "histogram":
        return _advance_histogram(before, point)
    state = State(start=point.start, at=point.at, value=point.value)
    if point.kind == "sum" and point.monotonic:
        return state, _counted(before, point)
    if point.kind == "sum" and point.delta and before is not None:
        state.value = within(state.value + before.value)
    return state, News(seen=state.value)


def _counted(before: State | None, point: Point) -> News | None:
    """Return what a counter counted since its last point."""
    if point.delta:
        return News(counted=point.value)
    if before is None:
        return News(counted=point.value) if _is_fresh(point) else None
    began_anew = before.start != point.start or point.value < before.value
    return News(counted=point.value if began_anew else point.value - before.value)


def _advance_histogram(before: State | None, point: Point) -> tuple[State, News | None]:
    observed = {repr(middle): number for middle, number in point.observed.items()}
    state = State(start=point.start, at=point.at, count=point.count, total=point.total or 0.0, observed=observed)
    whole = News(count=point.count, total=point.total, observed=list(point.observed.items()))
    if point.delta:
        return state, whole
    if before is None:
        return state, whole if _is_fresh(point) else None
    if before.start != point.start or point.count < before.count:
        return state, whole
    more = {middle: number - before.observed.get(repr(middle), 0) for middle, number in point.observed.items()}
    same = before.observed.keys() <= observed.keys() and all(number >= 0 for number in more.values())
    # an exponential histogram that changed its scale has other buckets: then only number and sum are known
    news = [(middle, number) for middle, number in more.items() if number] if same else []
    total = None if point.total is None else point.total - before.total
    return state, News(count=point.count - before.count, total=total, observed=news)


def within(value: float) -> float:
    """Return a value, at most `LARGEST` to either side."""
    return max(-LARGEST, min(value, LARGEST))


def _is_fresh(point: Point) -> bool:
    return 0 < point.start <= point.at < point.start + FRESH


def explicit_buckets(bounds: list[float], counts: list[int]) -> dict[float, int]:
    """Return the numbers of a histogram by the middles of its buckets; the outermost ones stand for their known end."""
    if not bounds or len(counts) != len(bounds) + 1:
        return {}
    edges = [min(bounds[0], 0.0), *bounds, bounds[-1]]
    found: dict[float, int] = {}
    for place, number in enumerate(counts):
        if number:
            middle = (edges[place] + edges[place + 1]) / 2
            found[middle] = found.get(middle, 0) + number
    return found


def exponential_buckets(scale: int, zero: int, offset: int, counts: list[int], *, sign: int = 1) -> dict[float, int]:
    """Return the numbers of an exponential histogram by the middles of its buckets, which grow by 2 ** (2 ** -scale)."""
    found: dict[float, int] = {0.0: zero} if zero else {}
    for place, number in enumerate(counts):
        if number:
            try:
                exponent = (offset + place + 0.5) * 2.0**-scale
                found[sign * 2.0**exponent] = number
            except OverflowError:  # beyond what numbers hold; nobody measures there
                continue
    return found


def text_of(attributes: dict[str, Any]) -> str:
    """Return attributes as one text, by which series of a metric are told apart on the page."""
    told = [f"{name}={value}" for name, value in sorted(attributes.items()) if isinstance(value, (str, int, float, bool))]
    return ", ".join(told)[:LONGEST_LABEL]
