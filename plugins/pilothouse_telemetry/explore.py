"""The trend of any measure of any plugin, as the page's last tab shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pilothouse.sdk import NANO, OTHER, Chart, Measure, Series, declared, qs
from pilothouse_telemetry.cards import RUNS
from pilothouse_telemetry.page_query import PageQuery
from pilothouse_telemetry.scope import Scope
from pilothouse_telemetry.trends import Line, Question, Stat, Value, is_money, measures, trend

STATS: tuple[Stat, ...] = ("p50", "p95", "p99", "mean", "count")
TONES = ("c1", "c2", "c3", "c4")
LARGEST = len(TONES)  # series with a colour of their own; the rest is one, in grey


def explore(query: PageQuery, scope: Scope) -> dict[str, Any]:
    """Return what the tab shows: the chosen measure's chart, its figures by key, and what else may be chosen."""
    every = measures()
    measure = declared(query.measure or "") or declared(RUNS) or every[0]
    by = query.by if query.by in measure.dimensions else None
    where = _where(query, measure)
    question = Question(measure, scope.current, scope.interval, scope.zone, by, scope.back, where, query.stat, LARGEST)
    (_, lines), *earlier = trend(question)
    before = earlier[0][1] if earlier else None
    fmt = _fmt(measure, query.stat)
    chart = Chart(
        _title(measure, by, query.stat), _series(measure, lines, before, by=by), scope.current.starts, fmt, scope.zone,
        open_end=not scope.current.complete[-1], zoom=qs(since=None, until=None),
    )  # fmt: skip
    totals = [(line.key, *_pair(measure, line, before[place] if before else None)) for place, line in enumerate(lines)]
    return {
        "measures": every, "measure": measure, "by": by, "chart": chart, "fmt": fmt, "totals": totals, "stats": STATS,
        "measure_csv": _csv_pairs(question),
    }  # fmt: skip


def _where(query: PageQuery, measure: Measure) -> dict[str, str | None]:
    """Return the filters that the measure knows; others are passed over."""
    where: dict[str, str | None] = {name: value for name, value in query.filters.items() if name in measure.dimensions}
    for text in query.filter:
        name, colon, value = text.partition(":")
        if colon and name in measure.dimensions:
            where[name] = value or None
    return where


def _csv_pairs(question: Question) -> list[tuple[str, str | int | None]]:
    """Return the parameters of the CSV that holds exactly what the chart shows, but for period and filters of the page."""
    measure, where = question.measure, question.where
    filters = [("filter", f"{name}:{value or ''}") for name, value in where.items()]
    stat = question.stat if measure.kind == "distribution" else None
    return [("measure", measure.name), ("by", question.by), ("stat", stat), ("top", question.top), *filters]


def _fmt(measure: Measure, stat: Stat) -> str:
    if is_money(measure):
        return "money"
    return "duration" if measure.unit == "ms" and stat != "count" else "count"


def _title(measure: Measure, by: str | None, stat: Stat) -> str:
    words = f"{measure.title}, {stat}" if measure.kind == "distribution" else measure.title
    return f"{words}, by {by}" if by else words


def _series(measure: Measure, lines: Sequence[Line], before: Sequence[Line] | None, *, by: str | None) -> list[Series]:
    if by is not None:
        return _coloured(measure, lines)
    kind: Literal["line", "area"] = "line" if measure.kind == "distribution" else "area"
    series = [Series(measure.title, _numbers(measure, lines[0].values), kind)]
    return series if before is None else [*series, Series("Before", _numbers(measure, before[0].values), "dash")]


def _coloured(measure: Measure, lines: Sequence[Line]) -> list[Series]:
    """Return one line a series, the largest first, the rest in grey."""
    return [
        Series(_name(line.key), _numbers(measure, line.values), "line", TONES[place] if place < LARGEST else "c5")
        for place, line in enumerate(lines)
    ]


def _name(key: str | None) -> str:
    return {None: "not given", OTHER: "Other"}.get(key) or str(key)


def _pair(measure: Measure, line: Line, before: Line | None) -> list[float | None]:
    return [_numbers(measure, [one.total])[0] if one is not None else None for one in (line, before)]


def _numbers(measure: Measure, values: Sequence[Value]) -> list[float | None]:
    """Return figures as a chart draws them; money as nano-dollars."""
    scale = NANO if is_money(measure) else 1
    return [None if value is None else float(value) * scale for value in values]
