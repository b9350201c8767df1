"""Charts as SVG made on the server: visible with the first paint, without a script, with their numbers in a table.

The recipe: a two-column grid; labels in SVGs of their own, the plot in a `viewBox` of 1000 units
stretched to its box, with strokes that do not scale. charts.js adds the crosshair, reading by keyboard, and zoom.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from markupsafe import Markup

from pilothouse import clock
from pilothouse.web.formats import FORMATS, NANO, axis_duration

WIDTH = 1000  # units of every viewBox; percent of them is what the browser shows
HEIGHT = 200
LABELS = 8  # time labels at most
LADDER = (1, 2, 2.5, 5, 10)
TIME_STEPS = (
    clock.MINUTE,
    5 * clock.MINUTE,
    15 * clock.MINUTE,
    30 * clock.MINUTE,
    clock.HOUR,
    2 * clock.HOUR,
    3 * clock.HOUR,
    6 * clock.HOUR,
    12 * clock.HOUR,
    clock.DAY,
    2 * clock.DAY,
    7 * clock.DAY,
    14 * clock.DAY,
    28 * clock.DAY,
    84 * clock.DAY,
)
UNITS = {"money": NANO, "percent": 1}


@dataclass(frozen=True, slots=True)
class Series:
    """One line, area or set of bars. `values` has one figure a bucket, None where there is none.

    `tone` is a chart colour ("c1" to "c5") or a state's ("c-bad"). "dash" is the earlier period. `base` is what bars stand on,
    one figure a bucket: the sum of the series below, where bars are stacked.
    """

    name: str
    values: Sequence[float | None]
    kind: Literal["line", "area", "bar", "dash"] = "line"
    tone: str = "c1"
    base: Sequence[float] = ()

    @property
    def tops(self) -> list[float]:
        """How high the series reaches in each bucket that has a figure."""
        base = self.base or [0] * len(self.values)
        return [value + floor for value, floor in zip(self.values, base, strict=False) if value is not None]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its series over buckets that start at `at` (ms), and how its figures read (a name of `FORMATS`).

    `open_end` marks the last bucket as unfinished. `zoom` is the address that charts.js gives `since` and `until` to; `rows`
    is the one of what lies behind a bucket, which gets the same. `ends` say from when until when the chart counts (ms), where
    that cuts its first and last bucket. `marks` are moments (ms) with what happened then.
    """

    title: str
    series: Sequence[Series]
    at: Sequence[int]
    fmt: str = "count"
    zone: tzinfo | None = None
    open_end: bool = False
    zoom: str = ""
    rows: str = ""
    ends: tuple[int, int] | None = None
    marks: Sequence[tuple[int, str]] = ()

    @property
    def open_start(self) -> bool:
        """Whether the first bucket counts a part of its time only, because the chart begins within it."""
        return self.ends is not None and bool(self.at) and self.ends[0] > self.at[0]

    def rows_of(self, index: int) -> str:
        """Return the address of what lies behind a bucket; empty where the chart leads nowhere."""
        if not self.rows:
            return ""
        since, until = self.at[index], _edge(self.at, index + 1)
        if self.ends is not None:
            since = max(since, self.ends[0])
            until = self.ends[1] if index == len(self.at) - 1 and not self.open_end else until
        return f"{self.rows}{'&' if '?' in self.rows else '?'}since={since}&until={until}"


def nice_ticks(top: float, wanted: int = 5) -> list[float]:
    """Return axis values from 0 to at least `top` in steps of 1, 2, 2.5 or 5 times a power of ten."""
    if top <= 0:
        return [0.0, 1.0]
    rough = top / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(rung * power for rung in LADDER if rung * power >= rough * 0.999999)
    return [round(step * index, 12) for index in range(math.ceil(top / step - 1e-9) + 1)]


def duration_ticks(top: float, wanted: int = 5) -> list[float]:
    """Return axis values in ms whose steps are round on a clock: 20 s, 1 m, 2 h."""
    seconds = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
    rough = top / wanted / clock.SECOND
    if rough <= seconds[0] or rough > seconds[-1]:
        return nice_ticks(top, wanted)
    step = next(s for s in seconds if s >= rough) * clock.SECOND
    return [float(step * index) for index in range(math.ceil(top / step - 1e-9) + 1)]


def time_ticks(start: int, end: int, zone: tzinfo) -> list[int]:
    """Return moments to label, on round local times, at most `LABELS` of them."""
    span = max(1, end - start)
    step = next((s for s in TIME_STEPS if span / s <= LABELS), TIME_STEPS[-1])
    offset = clock.to_datetime(start).astimezone(zone).utcoffset()
    shift = int(offset.total_seconds()) * clock.SECOND if offset else 0
    first = -(-(start + shift) // step) * step - shift
    return list(range(first, end + 1, step))


def time_label(at: int, span: int, zone: tzinfo) -> str:
    """Write a moment for an axis of `span` ms: `14:30`, `Tue 17` or `17 Nov`."""
    local = clock.to_datetime(at).astimezone(zone)
    if span <= 2 * clock.DAY:
        return f"{local:%H:%M}"
    return f"{local:%a} {local.day}" if span <= 15 * clock.DAY else f"{local.day} {local:%b}"


def _axis_text(value: float, fmt: str) -> str:
    if fmt == "money":
        dollars = value / NANO
        cents = f"${dollars:,.2f}" if dollars >= 0.01 else f"${dollars:g}"  # noqa: PLR2004 - a cent
        return f"${dollars:,.0f}" if dollars == int(dollars) else cents
    if fmt == "percent":
        share = round(value * 100, 6)
        return f"{share:.0f}\u00a0%" if share == int(share) else f"{share:.1f}\u00a0%"
    if fmt == "duration":
        return axis_duration(value)
    return FORMATS["compact" if fmt == "count" else fmt](value)


def chart(spec: Chart) -> Markup:
    """Draw the plot of a chart with its axes. The figure around it (title, legend, table) is `ui.chart`."""
    zone = spec.zone or UTC
    # an axis without any value ends at one unit: a dollar, not a nano-dollar, and the whole of a share
    top = max((value for one in spec.series for value in one.tops), default=0) or UNITS.get(spec.fmt, 0)
    ticks = duration_ticks(top) if spec.fmt == "duration" else nice_ticks(top)
    bars = any(one.kind == "bar" for one in spec.series)
    places = [_place(index, len(spec.at), bars=bars) for index in range(len(spec.at))]
    lines = Markup("").join(Markup('<path class="grid" d="M0 {0}H1000"/>').format(_height(tick, ticks[-1])) for tick in ticks)
    drawn = Markup("").join(_draw(one, places, ticks[-1], spec) for one in spec.series)
    return Markup(
        '<svg class="y" height="{h}" aria-hidden="true">{y}</svg>'
        '<svg class="plot" viewBox="0 0 1000 {h}" height="{h}" preserveAspectRatio="none" role="img" tabindex="0"'
        ' aria-label="{label}" data-plot="{data}"{zoom}>{lines}{drawn}</svg>'
        '<svg class="x" aria-hidden="true">{x}</svg>'
    ).format(
        h=HEIGHT,
        y=_y_labels(ticks, spec.fmt),
        x=_x_labels(spec.at, places, zone),
        lines=lines,
        drawn=drawn + _marks(spec, places),
        label=f"{spec.title}. Arrow keys read the values.",
        data=_plot_data(places),
        zoom=Markup(' data-zoom="{}" data-at="{}"').format(spec.zoom, _edges(spec.at)) if spec.zoom else "",
    )


def _place(index: int, total: int, *, bars: bool) -> float:
    if bars:
        return round((index + 0.5) * WIDTH / max(1, total), 1)
    return round(index * WIDTH / max(1, total - 1), 1)


def _height(value: float, top: float) -> float:
    return round(HEIGHT - value / (top or 1) * HEIGHT, 1)


def _plot_data(places: Sequence[float]) -> str:
    return " ".join(f"{place:g}" for place in places)


def _edges(at: Sequence[int]) -> str:
    return " ".join(str(moment) for moment in (*at, _edge(at, len(at)))) if at else ""


def _edge(at: Sequence[int], index: int) -> int:
    """Return the start of a bucket, or the end of the last one."""
    if index < len(at):
        return at[index]
    return at[-1] + (at[-1] - at[-2] if len(at) > 1 else clock.HOUR)


def _marks(spec: Chart, places: Sequence[float]) -> Markup:
    """Draw a line for each moment that lies on the chart, between the buckets around it."""
    drawn = []
    for moment, text in spec.marks:
        if len(places) > 1 and spec.at[0] <= moment < _edge(spec.at, len(spec.at)):
            index = bisect_right(spec.at, moment) - 1
            share = (moment - spec.at[index]) / (_edge(spec.at, index + 1) - spec.at[index])
            x = min(places[index] + share * (places[1] - places[0]), WIDTH)
            drawn.append(Markup('<path class="mark" d="M{:g} 0V{}"><title>{}</title></path>').format(round(x, 1), HEIGHT, text))
    return Markup("").join(drawn)


def _draw(one: Series, places: Sequence[float], top: float, spec: Chart) -> Markup:
    if one.kind == "bar":
        return _bars(one, places, top, spec)
    points = [None if value is None else (x, _height(value, top)) for x, value in zip(places, one.values, strict=False)]
    if one.kind == "dash":
        return Markup('<path class="dash" d="{}"/>').format(_path(points))
    first, last = (1 if spec.open_start else 0), len(points) - (1 if spec.open_end else 0)
    if last - first < 2:  # noqa: PLR2004 - the line would be gone
        first, last = 0, len(points)
    drawn = Markup('<path class="line {}" d="{}"/>').format(one.tone, _path(points[first:last]))
    for part in (points[: first + 1] if first else [], points[last - 1 :] if last < len(points) else []):
        if any(part):
            drawn += Markup('<path class="line open {}" d="{}"/>').format(one.tone, _path(part))
    if alone := _alone(points):
        drawn += Markup('<path class="dot {}" d="{}"/>').format(one.tone, alone)
    if one.kind == "area" and any(points):
        drawn = Markup('<path class="area {}" d="{}"/>').format(one.tone, _filled(points)) + drawn
    return drawn


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Write a path with a gap wherever there is no value."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:g} {point[1]:g}")
        pen = "L"
    return "".join(parts)


def _alone(points: Sequence[tuple[float, float] | None]) -> str:
    """Write a path of lines without length, which round ends make dots of, for points that no line leads to."""
    framed = [None, *points, None]
    around = zip(framed, points, framed[2:], strict=False)
    return "".join(f"M{point[0]:g} {point[1]:g}h0" for left, point, right in around if point and not left and not right)


def _filled(points: Sequence[tuple[float, float] | None]) -> str:
    known = [point for point in points if point is not None]
    return f"M{known[0][0]:g} {HEIGHT}L" + "L".join(f"{x:g} {y:g}" for x, y in known) + f"L{known[-1][0]:g} {HEIGHT}Z"


def _bars(one: Series, places: Sequence[float], top: float, spec: Chart) -> Markup:
    width = WIDTH / max(1, len(places)) * 0.72
    drawn = []
    base = one.base or [0] * len(places)
    for index, (x, value, floor) in enumerate(zip(places, one.values, base, strict=False)):
        if value:
            y = _height(value + floor, top)
            part = " open" if (index == 0 and spec.open_start) or (index == len(places) - 1 and spec.open_end) else ""
            drawn.append(
                Markup('<rect class="bar {}{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}"/>').format(
                    one.tone, part, round(x - width / 2, 1), y, round(width, 1), round(_height(floor, top) - y, 1)
                )
            )
    return Markup("").join(drawn)


def _y_labels(ticks: Sequence[float], fmt: str) -> Markup:
    label = Markup('<text x="46" y="{:g}" text-anchor="end">{}</text>')
    return Markup("").join(label.format(_height(tick, ticks[-1]) + 4, _axis_text(tick, fmt)) for tick in ticks)


def _x_labels(at: Sequence[int], places: Sequence[float], zone: tzinfo) -> Markup:
    if len(at) < 2:  # noqa: PLR2004 - an axis needs two ends
        return Markup("")
    span = at[-1] - at[0]
    labels, last = [], -math.inf
    for index, moment in enumerate(time_ticks(at[0], at[-1], zone)):
        share = (places[0] + (moment - at[0]) / span * (places[-1] - places[0])) / WIDTH * 100
        if share > 97 or share - last < 9:  # noqa: PLR2004 - percent: a label would touch its neighbour or the edge
            continue
        last = share
        labels.append(
            Markup('<text class="{}" x="{:.2f}%" y="18" text-anchor="middle">{}</text>').format(
                "odd" if index % 2 else "", max(share, 2.5), time_label(moment, span, zone)
            )
        )
    return Markup("").join(labels)
