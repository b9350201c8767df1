"""Reading the audit log: filters, keyset pages from the newest entry on, and the whole for export.

Entries are ordered by their number in the chain, which is the order in which they were committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, func, or_, select

from pilothouse.sdk import AuditEntry, db
from pilothouse_team.queries import escaped

NOBODY = ("system", "anonymous")  # what acts without being a member
RECENT = 5_000  # entries in which the page looks for actions to choose from: the log has no index on them
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class TrailFilters:
    """Which entries; times in ms, `since` inclusive, `until` exclusive.

    `actor` is an id or an address; `q` a part of action, target, the actor's address or the detail. `members_only` leaves
    out refusals and what nobody of the team did.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None
    q: str | None = None
    since: int | None = None
    until: int | None = None
    members_only: bool = False


def entries(filters: TrailFilters, limit: int, before: int | None = None) -> list[AuditEntry]:
    """Return `limit + 1` entries, newest first, below the number `before`."""
    statement = select(AuditEntry).where(*_conditions(filters))
    if before is not None:
        statement = statement.where(AuditEntry.seq < before)
    return list(db.session.scalars(statement.order_by(AuditEntry.seq.desc()).limit(limit + 1)))


def stream(filters: TrailFilters) -> Iterator[AuditEntry]:
    """Yield all entries, newest first, some at a time: a long download holds no transaction open."""
    before: int | None = None
    while True:
        found = entries(filters, BATCH - 1, before)
        db.session.remove()
        yield from found
        if len(found) < BATCH:
            return
        before = found[-1].seq


def recent_actions(filters: TrailFilters) -> list[str]:
    """Return the actions among the newest entries, for choosing one, by name."""
    newest = select(AuditEntry.action).where(*_conditions(replace(filters, action=None, q=None)))
    found = newest.order_by(AuditEntry.seq.desc()).limit(RECENT).subquery()
    return sorted(db.session.scalars(select(found.c.action).distinct()))


def _conditions(filters: TrailFilters) -> list[ColumnElement[bool]]:
    exact = {
        AuditEntry.action: filters.action, AuditEntry.target: filters.target, AuditEntry.outcome: filters.outcome,
        AuditEntry.actor_name if filters.actor and "@" in filters.actor else AuditEntry.actor: filters.actor,
    }  # fmt: skip
    found: list[ColumnElement[bool]] = [column == value for column, value in exact.items() if value is not None]
    if filters.since is not None:
        found.append(AuditEntry.at >= filters.since)
    if filters.until is not None:
        found.append(AuditEntry.at < filters.until)
    if filters.members_only:
        found += [
            AuditEntry.outcome == "ok", AuditEntry.actor.not_in(NOBODY), AuditEntry.actor.not_like("token:%"),
        ]  # fmt: skip
    if filters.q:
        pattern = f"%{escaped(filters.q.lower())}%"
        searched = (AuditEntry.action, AuditEntry.target, AuditEntry.actor_name, AuditEntry.detail)
        found.append(or_(*(func.lower(column).like(pattern, escape="\\") for column in searched)))
    return found
