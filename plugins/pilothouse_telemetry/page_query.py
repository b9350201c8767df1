"""What the address of the analytics page says; what is wrong in it is passed over, so that an old link still opens."""

from __future__ import annotations

from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from flask import request

from pilothouse.sdk import DAY, Invalid, Moment, current_prefs, read_period, read_query
from pilothouse_telemetry.scope import FILTERS, Scope, scope_of
from pilothouse_telemetry.trends import Stat

RANGE = "7d"  # whole weeks compare like with like


class PageQuery(msgspec.Struct, frozen=True):
    """What the page's address says."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    compare: Literal["previous", "week", "off"] = "previous"
    workflow: str | None = None
    agent: str | None = None
    tab: Literal["workflows", "models", "agents", "components", "people", "measures"] = "workflows"
    sort: str = ""
    measure: str | None = None
    by: str | None = None
    stat: Stat = "p95"
    filter: list[str] = []

    @property
    def filters(self) -> dict[str, str]:
        """The filters that are set, by name."""
        return {name: value for name in FILTERS if (value := getattr(self, name))}

    @property
    def custom(self) -> bool:
        """Whether somebody chose both ends."""
        return self.since is not None or self.until is not None

    def scope(self, zone: ZoneInfo) -> Scope:
        """Return what the page looks at. Raises Invalid."""
        period = read_period(self.range, self.since, self.until, default=RANGE)
        back = {"previous": period.length, "week": 7 * DAY, "off": None}[self.compare]
        return scope_of(period, zone, back=back, filters=self.filters)


def read_page_query() -> PageQuery:
    """Read the page's address."""
    query: PageQuery = lenient(request.args.to_dict(flat=False), PageQuery)
    try:
        query.scope(reader_zone())
    except Invalid:
        return msgspec.structs.replace(query, range=None, since=None, until=None)
    return query


def lenient(arguments: dict[str, list[str]], kind: Any) -> Any:
    """Read a query string without the parameters that are wrong."""
    try:
        return read_query(arguments, kind)
    except Invalid as fault:
        wrong = {error.path.partition("[")[0] for error in fault.errors}
        return read_query({name: values for name, values in arguments.items() if name not in wrong}, kind)


def reader_zone() -> ZoneInfo:
    """Return the reader's time zone."""
    zone = current_prefs().zone
    return zone if isinstance(zone, ZoneInfo) else ZoneInfo("UTC")
