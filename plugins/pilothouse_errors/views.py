"""The pages of errors: the groups, and one group with its events, frames and story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from flask import Response, redirect, request, url_for

from pilothouse.sdk import (
    DAY,
    DEFAULT_LIMIT,
    ConsoleView,
    Invalid,
    Undo,
    active_members,
    done,
    expose,
    find_members,
    formats,
    needs,
    now,
    panel_answers,
    read_cursor,
    read_query,
    require,
    unit_of_work,
    write_cursor,
)
from pilothouse_errors import api, circumstances, group_queries, queries, service, stack_showing
from pilothouse_errors.api import GroupQuery
from pilothouse_errors.holding import NEXT_VERSION, THIS_VERSION, TIME, Hold, choose, newest_releases
from pilothouse_errors.severity import RANKS
from pilothouse_errors.tallying import IGNORED, OPEN, RESOLVED

EVERY_S = 15  # seconds; errors move slower than executions
CHIPS = ((OPEN, "Unresolved"), (RESOLVED, "Resolved"), (IGNORED, "Ignored"))
LISTED = 20  # executions that a group's page lists
OFFERED = 40  # members in the menus of the list; a group's own page offers all
NEW = DAY  # a group first seen within is marked new
OFFERED_RELEASES = 20  # in the filter of the list


class ErrorsView(ConsoleView):
    """What broke, grouped by fault."""

    title = "Errors"
    path = "/errors"
    permission = api.VIEW

    @expose("/")
    def index(self) -> Any:
        """Show the groups; a poll gets only the rows."""
        return self.live("errors/list.html", "errors/_rows.html", api.TOPICS, self._list, meta=_meta)

    def _list(self) -> dict[str, Any]:
        query = _read_group_query()
        wanted = query.filters()
        filters = wanted if "status" in request.args else replace(wanted, status=(OPEN,))
        if "all" in request.args.getlist("status"):
            filters = replace(filters, status=())
        after = read_cursor(query.cursor) if query.cursor else None
        groups = group_queries.page(filters, DEFAULT_LIMIT, after)
        more, groups = len(groups) > DEFAULT_LIMIT, groups[:DEFAULT_LIMIT]
        counts, members = group_queries.counts(filters), active_members()[:OFFERED]
        return {
            "groups": groups, "trends": group_queries.trends([group.id for group in groups], now()), "counts": counts,
            "filters": filters, "chips": CHIPS, "total": sum(counts.values()), "severities": tuple(RANKS),
            "older": write_cursor(groups[-1].last_seen_at, groups[-1].id) if more else None, "query": query,
            "members": members, "names": _names(groups) | {member.id: member.name for member in members},
            "assignees": [(member.id, member.name, None) for member in members], "workflows": _workflow_options(),
            "releases": _release_options(), "is_new": lambda g: now() - g.first_seen_at < NEW,
            "may_manage": self.may(api.MANAGE), "revision": revision,
            "ever": bool(groups) or any(group_queries.counts().values()), "every": None if query.cursor else EVERY_S,
        }  # fmt: skip

    @expose("/<group_id>")
    def group(self, group_id: str) -> Any:
        """Show one group with one of its errors."""
        return self.live("errors/group.html", "errors/_group_live.html", api.TOPICS, lambda: self._group(group_id))

    def _group(self, group_id: str) -> dict[str, Any]:
        group = group_queries.get(group_id)
        wanted = request.args.get("error", "")
        near = queries.neighbours(group_id, wanted or None)
        chosen = wanted or near.recommended or near.latest
        error = queries.get(chosen) if chosen else None
        shown = queries.neighbours(group_id, chosen) if chosen and not wanted else near
        met = group_queries.executions(group_id)
        return {
            "group": group, "error": error, "near": shown, "frames": stack_showing.frames_of(error) if error else [],
            "trace": stack_showing.text_of(error) if error else "",
            "around": circumstances.read(_decoded(error.attributes or "{}"), error.created_at) if error else None,
            "trend": _trend(group_id), "shares": _share_rows(group), "activity": group_queries.activity(group_id),
            "executions": met[:LISTED], "wasted": _wasted(met), "members": active_members(), "names": _names([group]),
            "severities": tuple(RANKS), "may_manage": self.may(api.MANAGE), "revision": revision(group),
            "detail_of": _detail_of, "stack_of": stack_showing.shown, "is_new": now() - group.first_seen_at < NEW,
            "newest_release": next(iter(newest_releases(1)), None), "hold_words": hold_words,
        }  # fmt: skip

    @expose("/event/<path:error_id>")
    def event(self, error_id: str) -> Any:
        """Go to the group of an error, which shows that very one."""
        error = queries.get(error_id)
        return redirect(url_for(".group", group_id=error.group_id, error=error.id))

    @expose("/<group_id>/change", methods=("POST",))
    @needs(api.MANAGE)
    def change(self, group_id: str) -> Response:
        """Resolve, ignore, reopen, assign or rate one group."""
        before = group_queries.get(group_id)
        old = {"status": before.status, "severity": before.severity, "assignee_id": before.assignee_id or ""}
        held = Hold(before.until, before.until_at, before.until_release)
        changes, hold = _changes(), _hold()
        notes = request.form.get("notes", "").strip()[:10_000]
        with unit_of_work():
            service.change_group(group_id, changes, require(api.MANAGE), notes, hold)
        back = {name: old[name] for name in changes} | (_fields_of(held) if "status" in changes else {})
        undo = Undo(url_for(".change", group_id=group_id), {name: str(value) for name, value in back.items()})
        return done(_told(changes, 1, hold), url_for(".group", group_id=group_id), undo=undo)

    @expose("/<group_id>/comment", methods=("POST",))
    @needs(api.MANAGE)
    def comment(self, group_id: str) -> Response:
        """Add a comment to a group's story."""
        text = request.form.get("notes", "").strip()[:10_000]
        if text:
            with unit_of_work():
                service.comment(group_id, text, require(api.MANAGE))
        return done("The comment is added", url_for(".group", group_id=group_id))

    @expose("/bulk", methods=("POST",))
    @needs(api.MANAGE)
    def change_many(self) -> Response:
        """Change the selected groups alike."""
        changes, hold = _changes(), _hold()
        with unit_of_work():
            changed = service.change_groups(request.form.getlist("id")[:500], changes, require(api.MANAGE), hold)
        return done(_told(changes, changed, hold), url_for(".index"))


def revision(group: Any) -> str:
    """Return what changes when a group's line on the page would."""
    return f"{group.updated_at}-{group.count}-{group.status}-{group.severity}-{group.assignee_id or ''}"


def _read_group_query() -> GroupQuery:
    """Read the page's filters; what is no filter is passed over, so that an old link still opens."""
    arguments = request.args.to_dict(flat=False)
    arguments["status"] = [status for status in arguments.get("status", []) if status in group_queries.STATUSES]
    arguments["severity"] = [severity for severity in arguments.get("severity", []) if severity in RANKS]
    try:
        return read_query(arguments, GroupQuery)
    except Invalid as fault:
        wrong = {error.path.partition("[")[0] for error in fault.errors}
        return read_query({name: values for name, values in arguments.items() if name not in wrong}, GroupQuery)


def _meta(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {"counts": {**shown["counts"], "all": shown["total"]}}


def _changes() -> dict[str, Any]:
    """Return what the form asks to change. Raises Invalid for values that do not exist."""
    changes: dict[str, Any] = {}
    status, severity = request.form.get("status"), request.form.get("severity")
    if status is not None:
        if status not in group_queries.STATUSES:
            raise Invalid.field("status", f"must be one of {', '.join(group_queries.STATUSES)}")
        changes["status"] = status
    if severity is not None:
        if severity not in RANKS:
            raise Invalid.field("severity", f"must be one of {', '.join(RANKS)}")
        changes["severity"] = severity
    if "assignee_id" in request.form:
        changes["assignee_id"] = request.form["assignee_id"] or None
    return changes


def _hold() -> Hold | None:
    """Return until when the form wants its status to stay. Raises Invalid for what does not exist."""
    status, until, moment = (request.form.get(name) for name in ("status", "until", "until_at"))
    if status is None:
        return None
    if moment is not None and not (moment.isascii() and moment.isdigit() and len(moment) < len(str(2**62))):
        raise Invalid.field("until_at", "must be Unix milliseconds")
    return choose(status, until or None, int(moment) if moment else None)


def _fields_of(hold: Hold) -> dict[str, str]:
    """Return the form's fields that choose a hold again."""
    if hold.until == TIME:
        return {"until_at": str(hold.until_at)}
    return {} if hold.until is None else {"until": hold.until}


def hold_words(until: str | None, until_release: str | None) -> str:
    """Return for how long a group stays resolved or ignored, as its status is told; nothing for a time, and for good."""
    if until == THIS_VERSION:
        return f"in {until_release}"
    return f"until a version newer than {until_release}" if until == NEXT_VERSION else ""


def _told(changes: Mapping[str, Any], number: int, hold: Hold | None) -> str:
    groups = "The group is" if number == 1 else f"{formats.count(number)} groups are"
    words = {OPEN: "open again", RESOLVED: "resolved", IGNORED: "ignored"}
    if "status" in changes:
        more = hold_words(hold.until, hold.until_release) if hold else ""
        return " ".join(filter(None, (groups, words[changes["status"]], more)))
    if "severity" in changes:
        return f"{groups} rated {changes['severity']}"
    return f"{groups} {'assigned' if changes.get('assignee_id') else 'nobody’s now'}"


def _names(groups: Sequence[Any]) -> dict[str, str]:
    """Return the names of those that groups are assigned to, by id."""
    wanted = [group.assignee_id for group in groups if group.assignee_id]
    return {key: member.name for key, member in find_members(wanted).items()} if wanted else {}


def _workflow_options() -> list[tuple[str, str, None]]:
    return [(name, name, None) for name in sorted(queries.workflow_names().values())]


def _release_options() -> list[tuple[str, str, None]]:
    return [(found.release, found.release, None) for found in newest_releases(OFFERED_RELEASES)]


def _trend(group_id: str) -> list[int]:
    """Return the last 14 days in half days, as the list shows them."""
    return group_queries.trends([group_id], now())[group_id]


def _wasted(met: Sequence[Any]) -> int | None:
    """Return what those of the executions that failed had spent, in nano-dollars; None where nobody knows of any spend.

    Whoever counts spend answers the slot "errors.wasted", whose subject is the executions' ids with spaces between.
    """
    answers = panel_answers("errors.wasted", " ".join(run.execution_id for run in met), int) if met else []
    return sum(answers) if answers else None


def _share_rows(group: Any) -> list[tuple[str, list[tuple[str, float, str, str | None]]]]:
    """Return how a group's errors are spread: all of them over versions, the newest over environments and people."""
    shares = group_queries.shares(group.id)
    spread = (
        ("Release", group.count, group_queries.releases(group.id)),
        ("Environment", shares.sampled, shares.environment),
        ("People", shares.sampled, shares.user),
    )
    return [
        (title, [(value, number / of, formats.percent(number / of), _having(title, value)) for value, number in found])
        for title, of, found in spread
        if found
    ]


def _having(title: str, value: str) -> str | None:
    """Return the list of the groups that a version had."""
    return url_for(".index", release=value, status="all") if title == "Release" else None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}


def _detail_of(entry: Any) -> Mapping[str, Any]:
    detail = _decoded(entry.detail)
    return detail if isinstance(detail, dict) else {}
