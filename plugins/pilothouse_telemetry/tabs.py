"""The tabs of the analytics page: lines to compare, components, people, any measure."""

from __future__ import annotations

from typing import Any

from pilothouse.sdk import Chart, Series, qs
from pilothouse_telemetry import queries, tables
from pilothouse_telemetry.explore import explore
from pilothouse_telemetry.page_query import PageQuery
from pilothouse_telemetry.scope import Reading, Scope
from pilothouse_telemetry.tables import TABLES, Table

COHORTS = 8  # weeks of the retention table


def content(query: PageQuery, scope: Scope, reading: Reading) -> dict[str, Any]:
    """Return what the template of the chosen tab shows."""
    if query.tab in TABLES:
        found = tables.table(reading, scope, TABLES[query.tab], query.sort)
        return {"table": found, "lines": found.lines[: tables.MOST_LINES], "header": _header(found, query)}
    if query.tab == "components":
        return {"components": queries.components(scope.current.period)}
    if query.tab == "people":
        return _people(scope)
    return explore(query, scope)


def _header(found: Table, query: PageQuery) -> list[dict[str, Any]]:
    """Return the table's headings: each sorts, and the one that does turns round."""
    sort = query.sort or found.share.name

    def heading(name: str, title: str, cls: str) -> dict[str, Any]:
        first, second = ("asc", "desc") if name == "name" else ("desc", "asc")
        direction = {name: first, f"-{name}": second}.get(sort)
        return {"title": title, "cls": cls, "sort": qs(sort=f"-{name}" if sort == name else name), "dir": direction}

    headings = [heading("name", found.dimension.capitalize(), "wide"), {"title": "Share", "cls": "w1180"}]
    for column in found.columns:
        headings.append(heading(column.name, column.title, "num"))
        if column.name == "executions" and found.compared:
            headings.append({"title": "Change", "cls": "num desk"})
    return headings


def _people(scope: Scope) -> dict[str, Any]:
    found = queries.engagement(scope.current.period, scope.zone)
    series = [Series("Active users", [number for _, number in found.daily], "bar")]
    chart = Chart("Active users a day", series, [at for at, _ in found.daily], zone=scope.zone, open_end=True)
    return {"people": found, "chart": chart, "cohorts": queries.retention(scope.ends[1], COHORTS), "shade": _shade}


def _shade(part: int, whole: int) -> int:
    """Return how dark a cell of the retention table is: 0 to 10."""
    return round(10 * part / whole) if whole else 0
