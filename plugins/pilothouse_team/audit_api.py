"""The HTTP endpoints of the audit log and of what members did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from flask import Response

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    AuditEntry,
    Limit,
    Moment,
    Page,
    csv_response,
    page_of,
    read_cursor,
    read_period,
    to_rfc3339,
)
from pilothouse_team import trail
from pilothouse_team.trail import TrailFilters

EXPORTED = ("seq", "id", "at", "actor", "actor_name", "action", "target", "outcome", "detail")


class ActivityQuery(msgspec.Struct, frozen=True):
    """Filters of what members did; `actor` is an id or an address."""

    actor: str | None = None
    action: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    range: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None

    def filters(self) -> TrailFilters:
        """Return the filters. Raises Invalid for a range that is none."""
        since, until = period(self)
        return TrailFilters(actor=self.actor, action=self.action, since=since, until=until, members_only=True)


class AuditQuery(msgspec.Struct, frozen=True):
    """Filters of the audit log; `actor` is an id or an address, `q` a part of action, target, address or detail."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None
    q: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    range: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None

    def filters(self) -> TrailFilters:
        """Return the filters. Raises Invalid for a range that is none."""
        since, until = period(self)
        return TrailFilters(self.actor, self.action, self.target, self.outcome, self.q, since, until)


def period(query: ActivityQuery | AuditQuery) -> tuple[int | None, int | None]:
    """Return since and until (ms) of a query; None where it is open on that side. Raises Invalid."""
    if query.range is None:
        return query.since, query.until
    return read_period(query.range, query.since, query.until).since, query.until


class Entry(msgspec.Struct, frozen=True):
    """One thing that was done, or refused. `actor` is a user's id, `token:<id>`, `system` or `anonymous`."""

    id: str
    at: str
    actor: str
    actor_name: str
    action: str
    target: str
    outcome: str
    detail: msgspec.Raw


def list_activity(query: ActivityQuery) -> Page[Entry]:
    """List what members did, newest first; `last_active_at` of each member stands with the members."""
    return _page(query)


def list_audit(query: AuditQuery) -> Page[Entry]:
    """List the audit log, newest first."""
    return _page(query)


def export(query: AuditQuery) -> Response:
    """Stream the filtered audit log as CSV; `limit` and `cursor` count for nothing."""
    return csv_response("audit.csv", EXPORTED, _exported(trail.stream(query.filters())))


def _page(query: ActivityQuery | AuditQuery) -> Page[Entry]:
    before = read_cursor(query.cursor)[0] if query.cursor else None
    found = trail.entries(query.filters(), query.limit, before)
    rows, cursor = page_of(found, query.limit, lambda row: (row.seq, row.id))
    return Page([_entry(row) for row in rows], cursor)


def _entry(row: AuditEntry) -> Entry:
    return Entry(
        row.id, to_rfc3339(row.at), row.actor, row.actor_name, row.action, row.target, row.outcome,
        msgspec.Raw(row.detail.encode()),
    )  # fmt: skip


def _exported(rows: Iterator[AuditEntry]) -> Iterator[Sequence[Any]]:
    for row in rows:
        shown = {name: getattr(row, name) for name in EXPORTED} | {"at": to_rfc3339(row.at)}
        yield list(shown.values())
