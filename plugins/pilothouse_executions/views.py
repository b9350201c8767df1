"""The pages of executions: the live list, and one execution with its timeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Response, request, url_for

from pilothouse.sdk import (
    DAY,
    DEFAULT_LIMIT,
    FINAL,
    HOUR,
    MINUTE,
    SECOND,
    Bucket,
    Conflict,
    ConsoleView,
    Invalid,
    NotFound,
    Period,
    StepFigures,
    current_prefs,
    done,
    expose,
    formats,
    needs,
    now,
    panel_answers,
    qs,
    read_cursor,
    read_period,
    read_query,
    require,
    to_datetime,
    unit_of_work,
    write_cursor,
)
from pilothouse_executions import api, queries, service, timeline
from pilothouse_executions.api import ListQuery
from pilothouse_executions.queries import Filters

BARS = 60  # of a histogram's strip at most: each weighs 45 bytes on the wire, and a day in half hours tells as much
SIZES = (
    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 12 * HOUR,
    DAY, 2 * DAY, 7 * DAY,
)  # fmt: skip
STATUSES = (
    ("running", "Running", "run"), ("queued", "Queued", "idle"), ("failed", "Failed", "bad"),
    ("timed_out", "Timed out", "warn"), ("lost", "Lost", "warn"), ("cancelled", "Cancelled", "idle"),
    ("succeeded", "Succeeded", "ok"),
)  # fmt: skip
STACKED = {"failed": "failed", "timed_out": "failed", "queued": "waiting", "running": "running"}
OWN = "pilothouse "  # how the workflows begin by which Pilothouse reports its own tasks and requests
BACK = "-"  # what the cursor of the page before starts with
TABS = ("timeline", "io", "errors", "tokens")


class ExecutionsView(ConsoleView):
    """What runs now, what ran, and what each run did."""

    title = "Executions"
    path = "/executions"
    permission = api.VIEW

    @expose("/")
    def index(self) -> Any:
        """Show the live list; a poll gets only its rows."""
        return self.live("executions/list.html", "executions/_rows.html", api.TOPICS, self._list, meta=_meta)

    def _list(self) -> dict[str, Any]:
        query = _read_list_query()
        filters = query.filters()
        rows, older, newer = _page(filters, query.cursor)
        period = _period(query)
        if filters.session is None:
            counted = queries.stats(period or Period(0, now() + DAY), filters.without("status", "q", "since", "until"))
            histogram = [] if filters.q else _histogram(period or read_period("24h"), filters)
        else:
            counted, histogram = queries.of_session(filters.session), []
        workflows = queries.workflows()
        return {
            "rows": rows, "older": older, "newer": newer, "filters": filters, "query": query, "stats": counted,
            "counts": counted.by_status, "statuses": STATUSES, "histogram": histogram, "range": _range_name(query),
            "workflows": [(row.name, row.name, None) for row in workflows],
            "agents": [(name, name, None) for name in queries.labels("agent")],
            "environments": [(name, name, None) for name in queries.labels("environment")],
            "first_use": not rows and filters == Filters() and not counted.total, "may_control": self.may(api.CHANGE),
            "only_own": all(row.name.startswith(OWN) for row in workflows), "revision": revision,
        }  # fmt: skip

    @expose("/<path:execution_id>")
    def detail(self, execution_id: str) -> Any:
        """Show one execution; while it runs, a poll gets what changed."""
        return self.live(
            "executions/detail.html", "executions/_live.html", api.TOPICS, lambda: self._detail(execution_id), meta=_detail_meta
        )

    def _detail(self, execution_id: str) -> dict[str, Any]:
        row = queries.get(execution_id)
        steps = queries.steps(execution_id)
        errors = queries.errors(execution_id)
        tab = request.args.get("tab", "timeline")
        return {
            "run": row, "stopped": queries.cancellation(execution_id) if row.status == "cancelled" else None,
            "duration_ms": _duration(row), "tab": tab if tab in TABS else "timeline", "errors": errors,
            "usage": queries.usage(execution_id), "children": queries.children(execution_id), "step_count": len(steps),
            "parent": _parent(row.parent_id), "ended": row.status in FINAL, "may_control": self.may(api.CHANGE),
            "median_ms": _median(row) if row.workflow else None, "attributes": timeline.shown_attributes(row.attributes),
            "input": timeline.shown_json(row.input), "output": timeline.shown_json(row.output), "revision": revision(row),
            **timeline.build(steps, row.started_at, row.finished_at, _figures(execution_id), request.args.get("step")),
        }  # fmt: skip

    @expose("/<path:execution_id>/cancel", methods=("POST",))
    @needs(api.CHANGE)
    def cancel(self, execution_id: str) -> Response:
        """Cancel one execution."""
        with unit_of_work():
            service.cancel(execution_id, request.form.get("reason", "")[:2000], require(api.CHANGE))
        return done("The execution is cancelled", url_for(".detail", execution_id=execution_id))

    @expose("/<path:execution_id>/rerun", methods=("POST",))
    @needs(api.CHANGE)
    def rerun(self, execution_id: str) -> Response:
        """Ask for another run."""
        with unit_of_work():
            service.rerun(execution_id, "", require(api.CHANGE))
        return done("The program is asked to run it again", url_for(".detail", execution_id=execution_id))

    @expose("/bulk/cancel", methods=("POST",))
    @needs(api.CHANGE)
    def cancel_many(self) -> Response:
        """Cancel the selected executions that still run."""
        cancelled = _each_selected(lambda key: service.cancel(key, "", require(api.CHANGE)))
        return done(f"Cancelled {_executions(cancelled)}", url_for(".index"))

    @expose("/bulk/rerun", methods=("POST",))
    @needs(api.CHANGE)
    def rerun_many(self) -> Response:
        """Ask for another run of the selected executions."""
        asked = _each_selected(lambda key: service.rerun(key, "", require(api.CHANGE)))
        return done(f"Asked for another run of {_executions(asked)}", url_for(".index"))


def revision(row: Any) -> str:
    """Return what changes when a row's line on the page would; the script replaces lines by it."""
    parts = (row.status, row.workflow, row.started_at, row.finished_at, row.error_count, row.total_tokens, row.cost_nano)
    return "-".join("" if part is None else str(part) for part in parts)


def _read_list_query() -> ListQuery:
    """Read the page's filters; what is no filter is passed over, so that an old link still opens."""
    arguments = request.args.to_dict(flat=False)
    arguments["status"] = [status for status in arguments.get("status", []) if status in api.STATUSES]
    cursor = arguments.pop("cursor", [])
    query = _read_what_can_be(arguments)
    return msgspec.structs.replace(query, cursor=cursor[-1]) if cursor else query


def _read_what_can_be(arguments: dict[str, list[str]]) -> ListQuery:
    try:
        query = read_query(arguments, ListQuery)
        query.filters()
        _period(query)
    except Invalid as fault:
        wrong = {error.path.partition("[")[0] for error in fault.errors} & arguments.keys()
        if not wrong:
            raise
        return _read_what_can_be({name: values for name, values in arguments.items() if name not in wrong})
    return query


def _page(filters: Filters, cursor: str | None) -> tuple[list[Any], str | None, str | None]:
    """Return a page's rows and the cursors of the older and the newer page."""
    limit = DEFAULT_LIMIT
    if cursor and cursor.startswith(BACK):
        rows = queries.newer(filters, limit, read_cursor(cursor.removeprefix(BACK)))
        more, rows = len(rows) > limit, list(reversed(rows[:limit]))
        return rows, _cursor(rows[-1]) if rows else None, BACK + _cursor(rows[0]) if more else None
    rows = queries.page(filters, limit, read_cursor(cursor) if cursor else None)
    more, rows = len(rows) > limit, rows[:limit]
    return rows, _cursor(rows[-1]) if more else None, BACK + _cursor(rows[0]) if cursor and rows else None


def _cursor(row: Any) -> str:
    return write_cursor(row.sorted_at, row.id)


def _period(query: ListQuery) -> Period | None:
    """Return the period that the page looks at; None for all time."""
    if query.range is None and query.since is None and query.until is None:
        return None
    return read_period(query.range, query.since, query.until)


def _range_name(query: ListQuery) -> str:
    return "custom" if query.since is not None or query.until is not None else query.range or ""


def _histogram(period: Period, filters: Filters) -> list[Bucket]:
    size = next((size for size in SIZES if period.length / size <= BARS), SIZES[-1])
    zone = current_prefs().zone
    offset = to_datetime(period.since).astimezone(zone).utcoffset()
    shift = int(offset.total_seconds()) * SECOND if offset else 0  # so that a bar of a day begins at the reader's midnight
    edges = range(period.since - (period.since + shift) % size, period.until + size, size)
    return [_bucket(at, size, found, zone) for at, found in zip(edges, queries.counts_by_time(edges, filters), strict=False)]


def _bucket(at: int, size: int, by_status: Mapping[str, int], zone: Any) -> Bucket:
    moment = to_datetime(at).astimezone(zone)
    counts: dict[str, int] = {}
    for status, number in by_status.items():
        name = STACKED.get(status, "other")
        counts[name] = counts.get(name, 0) + number
    total, failed = sum(counts.values()), counts.get("failed", 0)
    words = f"{moment:%b %d %H:%M}: {_executions(total)}" + (f", {formats.count(failed)} failed" if failed else "")
    return Bucket(words, qs(range=None, since=at, until=at + size), counts)


def _meta(shown: Mapping[str, Any]) -> dict[str, Any]:
    counts = {status: shown["counts"].get(status, 0) for status, _, _ in STATUSES}
    return {"counts": {"all": shown["stats"].total, **counts}}


def _detail_meta(shown: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"tab-timeline": shown["step_count"], "tab-errors": len(shown["errors"])}
    return {"counts": counts, **({"stop": True} if shown["ended"] else {})}


def _duration(row: Any) -> int | None:
    return None if row.started_at is None or row.finished_at is None else max(row.finished_at - row.started_at, 0)


def _median(row: Any) -> float | None:
    """Return the median duration of the workflow's last four weeks, in ms."""
    return queries.median(read_period("4w"), row.workflow)


def _parent(parent_id: str | None) -> Any:
    if parent_id is None:
        return None
    try:
        return queries.get(parent_id)
    except NotFound:
        return None


def _each_selected(act: Any) -> int:
    """Do something to each selected execution, each in its own transaction; finished or unknown ones are passed over."""
    acted = 0
    for key in request.form.getlist("id")[:500]:
        try:
            with unit_of_work():
                act(key)
        except (Conflict, NotFound):
            continue
        acted += 1
    return acted


def _figures(execution_id: str) -> dict[str, StepFigures]:
    """Return what steps used, as other plugins tell it."""
    told: dict[str, StepFigures] = {}
    for answer in panel_answers("executions.steps", execution_id, Mapping):
        told |= {step_id: figures for step_id, figures in answer.items() if isinstance(figures, StepFigures)}
    return told


def _executions(number: int) -> str:
    return f"{formats.count(number)} execution{'' if number == 1 else 's'}"
