"""The pages of telemetry: analytics over all measures, and the events behind the components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, request

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    ConsoleView,
    NotFound,
    csv_response,
    declared,
    expose,
    find_members,
    page_of,
    qs,
    read_cursor,
    read_period,
    read_totals,
)
from pilothouse_telemetry import api, cards, queries, tables, tabs
from pilothouse_telemetry.api import EventQuery
from pilothouse_telemetry.cards import RUNS
from pilothouse_telemetry.page_query import RANGE, PageQuery, lenient, read_page_query, reader_zone
from pilothouse_telemetry.scope import Reading, Scope, with_query
from pilothouse_telemetry.tables import TABLES

RANGES = (("24h", "24 hours"), ("7d", "7 days"), ("4w", "4 weeks"), ("12w", "12 weeks"))
OWN = "pilothouse "  # how the workflows begin by which Pilothouse reports its own tasks
MOST_MARKS = 12  # lines on a chart; more would hide it


class AnalyticsView(ConsoleView):
    """How everything trends: executions, failures, durations, spend, components, people, and any measure of any plugin."""

    title = "Analytics"
    path = "/analytics"
    permission = api.VIEW

    @expose("/")
    def index(self) -> str:
        """Show the figures, the charts and one table."""
        query = read_page_query()
        scope = query.scope(reader_zone())
        reading = Reading(scope)
        cards.ask_for_charts(reading, scope)
        reading.ask("workflows", RUNS, scope.ends, ("workflow",), filtered=False)
        if query.tab in TABLES:
            tables.ask_for_table(reading, scope, TABLES[query.tab])
        reading.run()
        marks = queries.marks(scope.current.period, MOST_MARKS)
        board = cards.dashboard(reading, scope, [(mark.at, mark.text) for mark in marks], qs(since=None, until=None))
        return self.render(
            "telemetry/analytics.html", query=query, scope=scope, board=board, marks=marks, ranges=RANGES, default_range=RANGE,
            workflows=(workflows := _options(reading)), shown=_shown(scope, query), csv=_csv(scope),
            first_use=all(name.startswith(OWN) for name, _, _ in workflows) and not _ever_ran(),
            **tabs.content(query, scope, reading),
        )  # fmt: skip

    @expose("/chart.csv")
    def chart(self) -> Response:
        """Stream the numbers of one chart of the page, those that stand below it."""
        scope = read_page_query().scope(reader_zone())
        reading = Reading(scope)
        cards.ask_for_charts(reading, scope)
        reading.run()
        name = request.args.get("chart", "")
        found = next((card.chart for card in cards.dashboard(reading, scope, [], "").cards if card.name == name), None)
        if found is None:
            raise NotFound(f"The page has no chart named {name}.")
        return csv_response(f"{name}.csv", ["at", *(one.name for one in found.series)], cards.csv_lines(found))

    @expose("/table.csv")
    def table(self) -> Response:
        """Stream the lines of the table that the page shows, all of them."""
        query = read_page_query()
        scope = query.scope(reader_zone())
        reading = Reading(scope)
        dimension = TABLES.get(query.tab, "workflow")
        tables.ask_for_table(reading, scope, dimension)
        reading.run()
        found = tables.table(reading, scope, dimension, query.sort)
        names = [dimension, *(column.name for column in found.columns)]
        return csv_response(f"{query.tab}.csv", names, tables.csv_lines(found))

    @expose("/events")
    def events(self) -> str:
        """List events, newest first: what is behind the components."""
        arguments = request.args.to_dict(flat=False)
        query = lenient(arguments, EventQuery)
        after = read_cursor(query.cursor) if query.cursor else None
        rows, cursor = page_of(queries.page(query.filters(), DEFAULT_LIMIT, after), DEFAULT_LIMIT, lambda row: (row.at, row.id))
        period = read_period("7d")
        known = [line for line in queries.components(period, users=False) if line.name is not None]
        names = [(line.name, line.name, line.events) for line in known]
        custom = "custom" if query.since is not None or query.until is not None else query.range or ""
        return self.render(
            "telemetry/events.html", rows=rows, older=cursor, query=query, components=names, range=custom,
            names=find_members({row.user for row in rows if row.user}),
        )


def _options(reading: Reading) -> list[tuple[str, str, int]]:
    """Return the workflows to filter by, the busiest first."""
    answer = reading.get("workflows")
    counts = {name: found.count for (name,), found in answer[0].items() if name} if answer else {}
    return [(name, name, counts[name]) for name in sorted(counts, key=lambda name: (-counts[name], name))[:50]]


def _ever_ran() -> bool:
    """Say whether any execution but Pilothouse's own was ever counted, as far back as anybody can ask."""
    if declared(RUNS) is None:
        return True
    period = read_period("400d")
    found = read_totals(RUNS, period.since, period.until, by=("workflow",))
    return any(total.count and not (name or "").startswith(OWN) for (name,), total in found.items())


def _shown(scope: Scope, query: PageQuery) -> dict[str, Any]:
    """Return the parameters that bring what the page shows into a file."""
    since, until = scope.ends if query.custom else (None, None)
    return {"range": query.range, "since": since, "until": until, "compare": query.compare, **query.filters}


def _csv(scope: Scope) -> Any:
    """Return a function that makes the address of a measure's CSV: exactly what its chart shows."""

    def address(pairs: Sequence[tuple[str, str]]) -> str:
        since, until = scope.ends
        span = [("since", since), ("until", until), ("interval", scope.interval.name), ("tz", scope.zone.key)]
        return with_query("/api/analytics/export.csv", [*pairs, *span])

    return address
