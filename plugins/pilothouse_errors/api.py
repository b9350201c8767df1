"""The HTTP endpoints of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    ApiBlueprint,
    Deadline,
    Frame,
    Invalid,
    Limit,
    Moment,
    Page,
    Severity,
    page_of,
    read_cursor,
    read_period,
    require,
    to_rfc3339,
)
from pilothouse_errors import group_queries, queries, service
from pilothouse_errors.group_queries import STATUSES, GroupFilters
from pilothouse_errors.holding import Hold, choose
from pilothouse_errors.models import ErrorGroup
from pilothouse_errors.selection import Filters, Place
from pilothouse_errors.severity import RANKS, classify
from pilothouse_errors.stack_parsing import parse

VIEW, MANAGE = "errors.issues.view", "errors.issues.manage"
TOPICS = (service.TOPIC,)
HISTOGRAM_RANGE = "7d"  # of a group, unless asked otherwise

Notes = Annotated[str, msgspec.Meta(max_length=10_000)]
Key = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00]*$")]


class ListQuery(msgspec.Struct, frozen=True):
    """Filters of the list; `severity` may repeat. `workflow` is a name or id; `q` is a part of type or message."""

    severity: list[str] = []
    resolved: bool | None = None
    workflow: Key | None = None
    group: Key | None = None
    q: Key | None = None
    since: Moment | None = None
    until: Moment | None = None
    range: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None

    def filters(self) -> Filters:
        """Return the filters. Raises Invalid for a severity that does not exist."""
        _check("severity", self.severity, tuple(RANKS))
        since = self.since
        if self.range is not None:
            since = Moment(read_period(self.range, self.since, self.until).since)
        return Filters(tuple(self.severity), self.resolved, self.workflow, self.group, self.q, since, self.until)


class GroupQuery(msgspec.Struct, frozen=True):
    """Filters of the groups; `status` and `severity` may repeat. `q` is a part of title or message.

    `release` keeps those that a version had: an error of theirs named it.
    """

    status: list[str] = []
    severity: list[str] = []
    assignee_id: Key | None = None
    workflow: Key | None = None
    release: Key | None = None
    q: Key | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None

    def filters(self) -> GroupFilters:
        """Return the filters. Raises Invalid for a status or severity that does not exist."""
        _check("status", self.status, STATUSES)
        _check("severity", self.severity, tuple(RANKS))
        return GroupFilters(tuple(self.status), tuple(self.severity), self.assignee_id, self.workflow, self.release, self.q)


class HistogramQuery(msgspec.Struct, frozen=True):
    """The period of the histogram, 7 days if left out; hours of UTC."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One failure; `created_at` is when it happened."""

    id: str
    execution_id: str | None
    workflow_id: str | None
    group_id: str
    error_type: str
    message: str
    stack_trace: str | None
    severity: str
    resolved: bool
    resolved_at: str | None
    resolution_notes: str | None
    created_at: str


class ErrorDetail(ErrorRecord, frozen=True, kw_only=True):
    """One failure with all that was sent; frames run from the outermost call to the innermost.

    Where no frames were sent they are read from the stack trace. `severity_reason` is null where the client chose.
    """

    frames: Any
    attributes: Any
    handled: bool | None
    release: str | None
    environment: str | None
    user: str | None
    severity_reason: str | None


class GroupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One fault; `count`, `users` and `executions` are of all its errors ever, `reason` says why they are together.

    `until` says for how long it stays resolved or ignored: null for good; `time` to `until_at`; `this_version` resolved in
    `until_release`, so that only it and newer ones count; `next_version` up to one newer than `until_release`.
    """

    id: str
    title: str
    error_type: str
    message: str
    reason: str
    status: str
    severity: str
    count: int
    users: int
    executions: int
    workflow: str | None
    first_seen_at: str
    last_seen_at: str
    first_release: str | None
    last_release: str | None
    assignee_id: str | None
    regressed: bool
    until: str | None
    until_at: str | None
    until_release: str | None
    resolved_at: str | None
    resolved_by: str | None
    resolution_notes: str | None
    updated_at: str


class HourCount(msgspec.Struct, frozen=True):
    """How many errors happened in the hour that starts at `at`."""

    at: str
    count: int


class ActivityRecord(msgspec.Struct, frozen=True):
    """What was done to a group; `actor` is empty where Pilothouse did it by itself."""

    id: str
    at: str
    actor_id: str | None
    actor: str
    action: str
    detail: Any


class GroupDetail(GroupRecord, frozen=True, kw_only=True):
    """One fault with its errors by the hour and what was done to it, newest first; `last_error_id` is its newest error."""

    last_error_id: str
    histogram: list[HourCount]
    activity: list[ActivityRecord]


class Resolution(msgspec.Struct, frozen=True):
    """How an error was resolved, in words that stay with it; may be empty."""

    resolution_notes: Notes = ""


class GroupChange(msgspec.Struct, frozen=True):
    """What to change; what is left out stays. `assignee_id` null takes the group from whoever has it.

    `until` goes with a status: `day`, `week` or `next_version` with ignored, `this_version` (fixed in the newest release) or
    `next_version` (in the one after it) with resolved. `until_at` is a moment up to which the group is ignored.
    """

    status: str | msgspec.UnsetType = msgspec.UNSET
    assignee_id: Key | msgspec.UnsetType | None = msgspec.UNSET
    severity: Severity | msgspec.UnsetType = msgspec.UNSET
    resolution_notes: Notes = ""
    until: Key | None = None
    until_at: Deadline | None = None

    def changes(self) -> dict[str, Any]:
        """Return what was named. Raises Invalid for a status that does not exist."""
        if self.status is not msgspec.UNSET:
            _check("status", [self.status], STATUSES)
        named = {"assignee_id": self.assignee_id, "severity": self.severity, "status": self.status}
        return {name: value for name, value in named.items() if value is not msgspec.UNSET}

    def hold(self) -> Hold:
        """Return until when the status is to stay. Raises Invalid for what does not go with it."""
        if self.status is msgspec.UNSET and (self.until or self.until_at):
            raise Invalid.field("status", "must be named beside until")
        return Hold() if self.status is msgspec.UNSET else choose(self.status, self.until, self.until_at)


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("errors")
    bp.get("/errors", permission=VIEW, topics=TOPICS)(list_errors)
    bp.get("/errors/groups", permission=VIEW, topics=TOPICS)(list_groups)
    bp.get("/errors/groups/<group_id>", permission=VIEW)(show_group)
    bp.patch("/errors/groups/<group_id>", permission=MANAGE)(change_group)
    bp.get("/errors/<path:error_id>", permission=VIEW)(show)
    bp.post("/errors/<path:error_id>/resolve", permission=MANAGE)(resolve)
    bp.post("/errors/<path:error_id>/reopen", permission=MANAGE)(reopen)
    return bp


def list_errors(query: ListQuery) -> Page[ErrorRecord]:
    """List errors, newest first."""
    after = _place(query.cursor) if query.cursor else None
    rows = queries.page(query.filters(), query.limit, after)
    rows, cursor = page_of(rows, query.limit, lambda row: (row.created_at, str(row.seq)))
    return Page([ErrorRecord(**_fields(row)) for row in rows], cursor)


def records(ids: Sequence[str]) -> dict[str, ErrorRecord]:
    """Return errors by id; those that are not there are left out."""
    return {row.id: ErrorRecord(**_fields(row)) for row in queries.several(ids)}


def show(error_id: str) -> ErrorDetail:
    """One error with its frames and attributes."""
    row = queries.get(_stored(error_id))
    reason = None if row.severity_given else classify(row.error_type, row.message, row.handled).reason
    return ErrorDetail(
        **_fields(row), frames=_frames(row), attributes=_json(row.attributes), handled=row.handled, release=row.release,
        environment=row.environment, user=row.user, severity_reason=reason,
    )  # fmt: skip


def resolve(error_id: str, body: Resolution) -> ErrorDetail:
    """Resolve one error. Its group is resolved with it where this was its last open error."""
    service.resolve(_stored(error_id), body.resolution_notes, require(MANAGE))
    return show(error_id)


def reopen(error_id: str) -> ErrorDetail:
    """Open one error again, and its group where that is resolved."""
    service.reopen(_stored(error_id), require(MANAGE))
    return show(error_id)


def list_groups(query: GroupQuery) -> Page[GroupRecord]:
    """List groups of errors, the one seen last first."""
    after = read_cursor(query.cursor) if query.cursor else None
    found = group_queries.page(query.filters(), query.limit, after)
    groups, cursor = page_of(found, query.limit, lambda group: (group.last_seen_at, group.id))
    return Page([GroupRecord(**_group_fields(group)) for group in groups], cursor)


def show_group(group_id: str, query: HistogramQuery) -> GroupDetail:
    """One group with its errors by the hour and its activity."""
    return _group(group_id, query)


def change_group(group_id: str, body: GroupChange) -> GroupDetail:
    """Resolve, reopen or ignore a group, give it to somebody, set its severity.

    A resolved group takes its errors along; an error that happens later opens it again as regressed. An ignored group
    stays so whatever happens. `until` bounds both: by a time, or by a version.
    """
    service.change_group(_stored(group_id), body.changes(), require(MANAGE), body.resolution_notes, body.hold())
    return _group(group_id, HistogramQuery())


def _group(group_id: str, query: HistogramQuery) -> GroupDetail:
    group = group_queries.get(_stored(group_id))
    period = read_period(query.range, query.since, query.until, default=HISTOGRAM_RANGE)
    hours = group_queries.histogram(group.id, period.since, period.until)
    return GroupDetail(
        **_group_fields(group),
        last_error_id=group.last_error_id,
        histogram=[HourCount(to_rfc3339(at), count) for at, count in hours],
        activity=[
            ActivityRecord(entry.id, to_rfc3339(entry.at), entry.actor_id, entry.actor, entry.action, _json(entry.detail))
            for entry in group_queries.activity(group.id)
        ],
    )


def _fields(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "execution_id": row.execution_id,
        "workflow_id": row.workflow_id,
        "group_id": row.group_id,
        "error_type": row.error_type,
        "message": row.message,
        "stack_trace": row.stack_trace,
        "severity": row.severity,
        "resolved": row.resolved,
        "resolved_at": _time(row.resolved_at),
        "resolution_notes": row.resolution_notes,
        "created_at": to_rfc3339(row.created_at),
    }


def _group_fields(group: ErrorGroup) -> dict[str, Any]:
    moments = ("first_seen_at", "last_seen_at", "resolved_at", "until_at", "updated_at")
    times = {name: _time(getattr(group, name)) for name in moments}
    names = set(GroupRecord.__struct_fields__) - times.keys()
    return {**{name: getattr(group, name) for name in names}, **times}


def _frames(row: Any) -> Any:
    """Return the frames as they were sent, else those in the stack trace."""
    if row.frames is not None:
        return _json(row.frames)
    frames: list[Frame] = parse(row.stack_trace) if row.stack_trace else []
    return frames


def _place(cursor: str) -> Place:
    at, key = read_cursor(cursor)
    if not key.isascii() or not key.isdigit() or len(key) > len(str(2**62)):
        raise Invalid.field("cursor", "is not a cursor of this list")
    return at, int(key)


def _stored(key: str) -> str:
    """Return an id from the path; one that no database can hold names nothing."""
    return key.replace("\0", "\ufffd")


def _check(field: str, given: list[str], allowed: tuple[str, ...]) -> None:
    if any(value not in allowed for value in given):
        raise Invalid.field(field, f"must be one of {', '.join(allowed)}")


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _json(text: str | None) -> Any:
    """Pass stored JSON on as it is: it was checked when it came in."""
    return None if text is None else msgspec.Raw(text.encode())
