"""The strip of figures and the charts of the analytics page.

The measures named here are those that are always there; where a plugin is missing, so is its card.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from pilothouse.sdk import Chart, Series, Sum, Values, declared, formats, to_rfc3339, to_usd
from pilothouse_telemetry.counting import COUNT
from pilothouse_telemetry.queries import ENDED, FAILURES, share
from pilothouse_telemetry.scope import Answer, Reading, Scope, with_query
from pilothouse_telemetry.trends import figure, find_measure

RUNS, DURATION = "executions.count", "executions.duration_ms"
SPEND, PROMPT, COMPLETION = "tokens.cost_usd", "tokens.prompt", "tokens.completion"  # PROMPT's count is that of all calls
EXECUTIONS, CALLS, EVENTS = "/executions/", "/tokens/?tab=calls", "/analytics/events"  # where the rows behind charts are
SPANS = {"5m": "5 minutes", "30m": "30 minutes", "2h": "2 hours", "6h": "6 hours"}  # that are no unit of their own
MOST_LINKS = 60  # buckets that lead to their rows; of more, one zooms in first: four hundred links would weigh on the page
ENOUGH = 30  # runs in both periods from which on a change is coloured: fewer change by chance


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the strip: its value and the earlier one, how both read (a name of `formats.FORMATS`), its small line."""

    label: str
    value: float | None
    before: float | None
    fmt: str
    spark: Sequence[float | None]
    good: str = "none"
    points: bool = False
    enough: bool = True


@dataclass(frozen=True, slots=True)
class Card:
    """A chart with a sentence."""

    chart: Chart
    summary: str

    @property
    def name(self) -> str:
        """What addresses call it, such as `failure-rate`."""
        return self.chart.title.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The page above its tables; `runs` is how many executions there were, None where nobody counts them."""

    figures: list[Figure]
    cards: list[Card]
    runs: int | None


def ask_for_charts(reading: Reading, scope: Scope) -> None:
    """Ask for what the strip and the charts show."""
    before = None if scope.before is None else scope.before.bounds
    reading.ask("calls", PROMPT, scope.ends)
    for suffix, bounds in (("", scope.current.bounds), (".before", before)):
        reading.ask(f"runs{suffix}", RUNS, bounds, ("status",))
        reading.ask(f"durations{suffix}", DURATION, bounds)
        reading.ask(f"spend{suffix}", SPEND, bounds)
        if declared(RUNS) is None:
            reading.ask(f"events{suffix}", COUNT, bounds)


def dashboard(reading: Reading, scope: Scope, marks: Sequence[tuple[int, str]], zoom: str) -> Dashboard:
    """Return the strip and the charts."""
    runs, runs_before = _Runs.of(reading.get("runs")), _Runs.of(reading.get("runs.before"))
    parts: list[_Part] = []
    if runs is not None:
        parts.append(_run_parts(runs, runs_before, scope.interval.name))
    elif (events := reading.get("events")) is not None:
        parts.append(_event_parts(events, reading.get("events.before")))
    if (durations := reading.get("durations")) is not None:
        parts.append(_duration_parts(durations, reading.get("durations.before"), enough=_enough(runs, runs_before)))
    if (spend := reading.get("spend")) is not None:
        parts.append(_spend_parts(spend, reading.get("spend.before"), _observed(reading.get("calls"))))
    cards = [_placed(scope, card, marks, zoom) for part in parts for card in part.cards]
    figures = [_finished(scope, one) for part in parts for one in part.figures]
    return Dashboard(figures, cards, runs.total if runs is not None else None)


def csv_lines(chart: Chart) -> Iterator[list[Any]]:
    """Yield a chart's numbers for its CSV: the start of each bucket, then a figure of each series; money as decimal strings."""
    for place, at in enumerate(chart.at):
        values = [one.values[place] for one in chart.series]
        money = chart.fmt == "money"
        yield [to_rfc3339(at), *(to_usd(int(value)) if money and value is not None else value for value in values)]


def _finished(scope: Scope, figure: Figure) -> Figure:
    """Return the figure with a small line of whole buckets only: one that counts a part of its time would always fall."""
    complete = scope.current.complete
    return replace(figure, spark=[value for value, whole in zip(figure.spark, complete, strict=True) if whole])


def _placed(scope: Scope, card: Card, marks: Sequence[tuple[int, str]], zoom: str) -> Card:
    chart = replace(
        card.chart, at=scope.current.starts, zone=scope.zone, open_end=not scope.current.complete[-1], marks=marks, zoom=zoom,
        ends=scope.ends,
        rows=with_query(card.chart.rows, scope.filters.items()) if len(scope.current.starts) <= MOST_LINKS else "",
    )  # fmt: skip
    return replace(card, chart=chart)


@dataclass(slots=True)
class _Part:
    figures: list[Figure] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs a bucket: all, those that ended, those that failed."""

    counts: list[int]
    ended: list[int]
    failed: list[int]

    @classmethod
    def of(cls, answer: Answer | None) -> _Runs | None:
        if answer is None:
            return None
        return cls(_counted(answer, None), _counted(answer, ENDED), _counted(answer, FAILURES))

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def failure_rate(self) -> float | None:
        return share(sum(self.failed), sum(self.ended))

    @property
    def rates(self) -> list[float | None]:
        return [share(failed, ended) for failed, ended in zip(self.failed, self.ended, strict=True)]


def _counted(answer: Answer, statuses: frozenset[str] | None) -> list[int]:
    return [sum(s.count for (status,), s in bucket.items() if statuses is None or status in statuses) for bucket in answer]


def _run_parts(runs: _Runs, before: _Runs | None, interval: str) -> _Part:
    counts, rates, total, rate = (
        (None, None, None, None) if before is None else (before.counts, before.rates, before.total, before.failure_rate)
    )
    counted = [Series("Executions", runs.counts, "area"), *_dash(counts)]
    rated = [Series("Failure rate", runs.rates, "area", "c-bad"), *_dash(rates)]
    most = f"at most {formats.count(max(runs.counts, default=0))} in {SPANS.get(interval, f'a {interval}')}"
    busiest = f"{formats.count(runs.total)} execution{'' if runs.total == 1 else 's'}, {most}"
    failed = f"{formats.count(sum(runs.failed))} of {formats.count(sum(runs.ended))} that ended failed or timed out"
    enough = _enough(runs, before)
    return _Part(
        [
            Figure("Executions", runs.total, total, "count", runs.counts),
            Figure("Failure rate", runs.failure_rate, rate, "percent", runs.rates, "down", points=True, enough=enough),
        ],
        [
            Card(Chart("Executions", counted, (), rows=EXECUTIONS), busiest),
            Card(Chart("Failure rate", rated, (), "percent", rows=EXECUTIONS), failed),
        ],
    )


def _enough(runs: _Runs | None, before: _Runs | None) -> bool:
    return runs is not None and before is not None and min(runs.total, before.total) >= ENOUGH


def _duration_parts(answer: Answer, before: Answer | None, *, enough: bool) -> _Part:
    p50, p95 = _percentiles(answer, "p50"), _percentiles(answer, "p95")
    p95_before = None if before is None else _percentiles(before, "p95")
    median, whole = _percentiles([_merged(answer)], "p50")[0], _percentiles([_merged(answer)], "p95")[0]
    whole_before = None if before is None else _percentiles([_merged(before)], "p95")[0]
    words = f"Median {formats.duration(median)}, 95th percentile {formats.duration(whole)}"
    series = [Series("p50", p50, tone="c2"), Series("p95", p95), *_dash(p95_before, "p95 before")]
    chart = Chart("Duration", series, (), "duration", rows=EXECUTIONS)
    return _Part(
        [Figure("p95 duration", whole, whole_before, "duration", p95, "down", enough=enough)],
        [Card(chart, words if whole is not None else "Nothing ended")],
    )


def _spend_parts(answer: Answer, before: Answer | None, calls: int) -> _Part:
    spent, spent_before = _totals(answer), None if before is None else _totals(before)
    total, priced = sum(spent), _observed(answer)
    known = total if priced or not calls else None  # unknown is not free
    words = f"{formats.money(total)} for {formats.count(priced)} model calls"
    if known is None:
        words = f"No price is known for {formats.count(calls)} model calls"
    elif calls > priced:
        words += f"; {formats.count(calls - priced)} more have no price and are not in it"
    series = [Series("Spend", spent, "bar", "c3"), *_dash(spent_before)]
    return _Part(
        [Figure("Spend", known, None if spent_before is None else sum(spent_before), "money", spent)],
        [Card(Chart("Spend", series, (), "money", rows=CALLS), words)],
    )


def _event_parts(answer: Answer, before: Answer | None) -> _Part:
    """Return what stands in for executions where no plugin counts them."""
    counts, counts_before = _counts(answer), None if before is None else _counts(before)
    series = [Series("Events", counts, "area"), *_dash(counts_before)]
    words = f"{formats.count(sum(counts))} events"
    return _Part(
        [Figure("Events", sum(counts), None if counts_before is None else sum(counts_before), "count", counts)],
        [Card(Chart("Events", series, (), rows=EVENTS), words)],
    )


def _dash(values: Sequence[float | None] | None, name: str = "Before") -> list[Series]:
    """Return the earlier period's line; none where it was all empty, which says nothing."""
    return [Series(name, values, "dash")] if values is not None and any(values) else []


def _percentiles(answer: Answer, stat: Literal["p50", "p95"]) -> list[float | None]:
    measure = find_measure(DURATION)
    return [cast("float | None", figure(measure, bucket.get(()), stat)) for bucket in answer]


def _observed(answer: Answer | None) -> int:
    return sum(found.count for bucket in answer or () for found in bucket.values())


def _counts(answer: Answer) -> list[int]:
    return [sum(found.count for found in bucket.values()) for bucket in answer]


def _totals(answer: Answer) -> list[int]:
    return [sum(found.total for found in bucket.values()) for bucket in answer]


def _merged(answer: Answer) -> dict[Values, Sum]:
    merged: dict[Values, Sum] = {}
    for bucket in answer:
        for values, found in bucket.items():
            merged.setdefault(values, Sum()).merge(found)
    return merged
