"""Acting on errors: resolve, reopen, ignore, assign, set the severity; inside the caller's unit of work.

A group that somebody resolves takes its errors along, and one whose last open error is resolved is resolved itself; so a
list of open errors and a list of open groups tell the same. Large groups are walked in small steps, the first at once and
the others as jobs, so that nobody waits for a long transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, select, tuple_, update

from pilothouse.sdk import (
    DAY,
    Bulk,
    Invalid,
    NotFound,
    Principal,
    after_commit,
    audit,
    db,
    enqueue,
    find_member,
    lock_writers,
    now,
    publish,
    runtime,
    unit_of_work,
)
from pilothouse_errors import activity
from pilothouse_errors.events import GroupResolved
from pilothouse_errors.holding import TIME, Hold
from pilothouse_errors.models import ErrorGroup, ErrorGroupActivity, ErrorGroupHour, ErrorRecord, ErrorSignature, ErrorSlab
from pilothouse_errors.signatures import PARTS, SLAB, first_of, make_slab, searchable, slab_of
from pilothouse_errors.tallying import IGNORED, OPEN, RESOLVED, hour_of

TOPIC = "errors"
WALK = "errors.walk_group"  # the task that goes on where a change of a large group stopped
STEP = 2_000  # errors that one transaction changes: about 40 ms, for which other writers wait
PURGED = 1_000  # errors that one transaction deletes
LONGEST_RANGE = 400 * DAY  # what can be asked for

_INSERT_SLAB = Bulk(ErrorSlab.__table__, ("slab", "oldest_at", "newest_at"))
_INSERT_PARTS = Bulk(ErrorSignature.__table__, ("part", "slab", "bits"))
_ACTIONS = {OPEN: activity.REOPENED, RESOLVED: activity.RESOLVED, IGNORED: activity.IGNORED}


def resolve(error_id: str, notes: str, principal: Principal) -> None:
    """Resolve one error with notes; its group too, where it was the last open one. Raises NotFound."""
    error = _locked_error(error_id)
    error.resolution_notes = notes or error.resolution_notes
    if not error.resolved:
        error.resolved, error.resolved_at = True, now()
        detail = {"error_id": error_id, "notes": notes}
        _note(error.group_id, activity.ERROR_RESOLVED, principal, detail)
        group = _locked_group(error.group_id)
        if group.status == OPEN and not _has_open_errors(group.id):
            _set_status(group, RESOLVED, principal, notes, Hold())
    audit("error.resolved", f"error:{error_id}", detail={"notes": notes})
    _changed()


def reopen(error_id: str, principal: Principal) -> None:
    """Open one error again, and its group where that is resolved. Raises NotFound."""
    error = _locked_error(error_id)
    if error.resolved:
        error.resolved, error.resolved_at, error.resolution_notes = False, None, None
        _note(error.group_id, activity.ERROR_REOPENED, principal, {"error_id": error_id})
        group = _locked_group(error.group_id)
        if group.status == RESOLVED:
            _set_status(group, OPEN, principal, "", Hold())
    audit("error.reopened", f"error:{error_id}")
    _changed()


def change_group(
    group_id: str, changes: Mapping[str, Any], principal: Principal, notes: str = "", hold: Hold | None = None
) -> None:
    """Change a group's `status`, `severity` or `assignee_id`, whichever `changes` names.

    `hold` says until when the new status stays, for good if left out. Raises NotFound, or Invalid for an assignee who is
    no active member. What is so already stays as it is.
    """
    group = _locked_group(group_id)
    before = {name: getattr(group, name) for name in (*changes, "until")}
    if "assignee_id" in changes and changes["assignee_id"] != group.assignee_id:
        _assign(group, changes["assignee_id"], principal)
    if "severity" in changes and (changes["severity"] != group.severity or not group.severity_set):
        group.severity, group.severity_set = changes["severity"], True
        _note(group_id, activity.SEVERITY_SET, principal, {"from": before["severity"], "to": group.severity})
    if "status" in changes and changes["status"] != group.status:
        _change_status(group, changes["status"], principal, notes, Hold() if hold is None else hold)
    elif "status" in changes and hold is not None and hold != _hold_of(group):
        _set_hold(group, hold)
        _note(group_id, _ACTIONS[group.status], principal, _told(group, notes))
    changed = {name: [was, getattr(group, name)] for name, was in before.items() if was != getattr(group, name)}
    if changed:
        group.updated_at = now()
        audit("error_group.changed", f"error_group:{group_id}", detail={"changes": changed, "notes": notes})
        _changed()


def change_groups(group_ids: Iterable[str], changes: Mapping[str, Any], principal: Principal, hold: Hold | None = None) -> int:
    """Change several groups alike and return how many there were; those that are gone are passed over."""
    found = 0
    for group_id in dict.fromkeys(group_ids):
        try:
            change_group(group_id, changes, principal, hold=hold)
        except NotFound:
            continue
        found += 1
    return found


def comment(group_id: str, text: str, principal: Principal) -> None:
    """Add a comment to a group's activity. Raises NotFound."""
    _locked_group(group_id)
    _note(group_id, activity.COMMENTED, principal, {"notes": text})
    audit("error_group.commented", f"error_group:{group_id}")
    _changed()


def wake() -> None:
    """Open the groups that were ignored for a time that is over."""
    session = db.session()
    lock_writers(session.connection())
    due = select(ErrorGroup).where(ErrorGroup.until == TIME, ErrorGroup.until_at <= now())
    for group in session.scalars(due.execution_options(populate_existing=True)).all():
        group.status, group.updated_at = OPEN, now()
        _set_hold(group, Hold())
        session.add(ErrorGroupActivity(**activity.entry(group.id, now(), activity.WOKE, None, {})))
        _changed()


def walk(group_id: str, status: str, mark: int, after: Sequence[int] | None = None) -> None:
    """Take a group's errors along with its change of status: one step of at most 2,000 errors, newest first.

    `mark` is the moment of the resolution (ms) by which its errors are known; `after` is where the last step ended.
    A walk that a later change of the group overtook ends at once.
    """
    group = db.session().get(ErrorGroup, group_id, populate_existing=True)
    overtaken = group is None or (group.resolved_at != mark if status == RESOLVED else group.status == RESOLVED)
    if group is None or overtaken:
        return
    rows = _next_errors(group_id, after)
    if status == RESOLVED:
        wanted = [row.seq for row in rows if not row.resolved and row.created_at <= mark]
        values = {"resolved": True, "resolved_at": mark, "resolution_notes": group.resolution_notes}
    else:
        wanted = [row.seq for row in rows if row.resolved and row.resolved_at == mark]
        values = {"resolved": False, "resolved_at": None, "resolution_notes": None}
    if wanted:
        statement = update(ErrorRecord).where(ErrorRecord.seq.in_(wanted)).values(values)
        db.session().execute(statement.execution_options(synchronize_session=False))
    if len(rows) == STEP:
        payload = {"group_id": group_id, "status": status, "mark": mark, "after": [rows[-1].created_at, rows[-1].seq]}
        enqueue(WALK, payload)
    _changed()


def sign() -> bool:
    """Make the signatures of the next full slab, in a unit of work of its own; says whether there was one.

    The texts are read and hashed before: that takes 50 ms, for which nobody need wait.
    """
    session = db.session()
    slab = _next_slab()
    first = first_of(slab)
    if (session.scalar(select(func.max(ErrorRecord.seq))) or 0) < first + SLAB - 1:
        return False
    columns = (ErrorRecord.seq, ErrorRecord.created_at, ErrorRecord.error_type, ErrorRecord.message)
    rows = session.execute(select(*columns).where(ErrorRecord.seq.between(first, first + SLAB - 1))).all()
    parts = list(make_slab((row.seq, searchable(row.error_type, row.message)) for row in rows))
    times = [row.created_at for row in rows] or [0]
    with unit_of_work():
        connection = session.connection()
        lock_writers(connection)
        if _next_slab() == slab:  # else another worker was quicker
            _INSERT_SLAB.insert(connection, [(slab, min(times), max(times))])
            _INSERT_PARTS.insert(connection, [(part, slab, bits) for part, bits in parts])
    return True


def purge(before: int) -> int:
    """Delete some of the errors that happened before a moment (ms) and return how many; groups and counts stay."""
    session = db.session()
    lock_writers(session.connection())
    old = select(ErrorRecord.seq).where(ErrorRecord.created_at < before).order_by(ErrorRecord.created_at).limit(PURGED)
    found = session.scalars(old).all()
    if found:
        statement = delete(ErrorRecord).where(ErrorRecord.seq.in_(found))
        session.execute(statement.execution_options(synchronize_session=False))
        _changed()
    return len(found)


def purge_signatures() -> None:
    """Delete the signatures of slabs that have no errors any more; the newest slab stays, for numbers to go on from."""
    session = db.session()
    lock_writers(session.connection())
    oldest = session.scalar(select(func.min(ErrorRecord.seq)))
    keep = _next_slab() - 1 if oldest is None else min(slab_of(oldest), _next_slab() - 1)
    if session.scalar(select(ErrorSlab.slab).where(ErrorSlab.slab < keep).limit(1)) is None:
        return
    signatures: Table = ErrorSignature.__table__
    statement = delete(signatures).where(signatures.c.part == bindparam("one"), signatures.c.slab < bindparam("keep"))
    session.connection().execute(statement, [{"one": part, "keep": keep} for part in range(PARTS)])
    session.execute(delete(ErrorSlab).where(ErrorSlab.slab < keep).execution_options(synchronize_session=False))


def purge_hours() -> None:
    """Delete hours of histograms that no range reaches any more."""
    before = hour_of(now() - LONGEST_RANGE)
    session = db.session()
    lock_writers(session.connection())
    old = select(ErrorGroup.id).where(ErrorGroup.first_seen_at < before)  # by the key, whose first column is the group
    hours = delete(ErrorGroupHour).where(ErrorGroupHour.group_id.in_(old), ErrorGroupHour.at < before)
    session.execute(hours.execution_options(synchronize_session=False))


def _next_slab() -> int:
    last = db.session().scalar(select(func.max(ErrorSlab.slab)))
    return 0 if last is None else last + 1


def _locked_error(error_id: str) -> ErrorRecord:
    session = db.session()
    lock_writers(session.connection())
    statement = select(ErrorRecord).where(ErrorRecord.id == error_id).execution_options(populate_existing=True)
    error = session.scalar(statement)
    if error is None:
        raise NotFound(f"There is no error {error_id}.")
    return error


def _locked_group(group_id: str) -> ErrorGroup:
    session = db.session()
    lock_writers(session.connection())
    group = session.get(ErrorGroup, group_id, populate_existing=True)
    if group is None:
        raise NotFound(f"There is no group of errors {group_id}.")
    return group


def _has_open_errors(group_id: str) -> bool:
    db.session().flush()
    statement = select(ErrorRecord.seq).where(ErrorRecord.group_id == group_id, ErrorRecord.resolved.is_(False))
    return db.session().scalar(statement.limit(1)) is not None


def _change_status(group: ErrorGroup, status: str, principal: Principal, notes: str, hold: Hold) -> None:
    """Change the status and take the errors along where the group is, or was, resolved."""
    was = group.resolved_at
    _set_status(group, status, principal, notes, hold)
    if group.resolved_at is not None:
        walk(group.id, RESOLVED, group.resolved_at)
    elif was is not None:
        walk(group.id, status, was)


def _set_status(group: ErrorGroup, status: str, principal: Principal, notes: str, hold: Hold) -> None:
    group.status, group.regressed, group.updated_at = status, False, now()
    _set_hold(group, hold)
    group.resolved_at = group.resolved_by = group.resolution_notes = None
    if status == RESOLVED:
        actor = principal.called
        group.resolved_at, group.resolved_by, group.resolution_notes = now(), actor, notes or None
        publish(GroupResolved(group_id=group.id, title=group.title, actor=actor, resolution_notes=notes))
    _note(group.id, _ACTIONS[status], principal, _told(group, notes))
    db.session().flush()


def _set_hold(group: ErrorGroup, hold: Hold) -> None:
    group.until, group.until_at, group.until_release = hold.until, hold.until_at, hold.until_release


def _hold_of(group: ErrorGroup) -> Hold:
    return Hold(group.until, group.until_at, group.until_release)


def _told(group: ErrorGroup, notes: str) -> dict[str, Any]:
    return {"notes": notes} if group.until is None else {"notes": notes, **asdict(_hold_of(group))}


def _assign(group: ErrorGroup, user_id: str | None, principal: Principal) -> None:
    if user_id is not None:
        member = find_member(user_id)
        if member is None or not member.active:
            raise Invalid.field("assignee_id", "is no active member")
    group.assignee_id = user_id
    action = activity.UNASSIGNED if user_id is None else activity.ASSIGNED
    _note(group.id, action, principal, {"assignee_id": user_id})


def _next_errors(group_id: str, after: Sequence[int] | None) -> Sequence[Any]:
    table = ErrorRecord
    statement = select(table.seq, table.created_at, table.resolved, table.resolved_at).where(table.group_id == group_id)
    if after is not None:
        statement = statement.where(tuple_(table.created_at, table.seq) < tuple(after))
    return db.session().execute(statement.order_by(table.created_at.desc(), table.seq.desc()).limit(STEP)).all()


def _note(group_id: str, action: str, principal: Principal, detail: Mapping[str, Any]) -> None:
    db.session().add(ErrorGroupActivity(**activity.entry(group_id, now(), action, principal, detail)))


def _changed() -> None:
    after_commit(lambda: runtime().changes.bump(TOPIC))
