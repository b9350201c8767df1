"""Acting on notifications: read, unread, read all, snoozed; inside the caller's unit of work, if not said otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Update, delete, or_, select, update

from pilothouse.sdk import DAY, Invalid, after_commit, count_changed, db, now, runtime, unit_of_work
from pilothouse_notifications import categories, preferences, queries
from pilothouse_notifications.models import DONE, FOLDED, Notification, StoredNotice
from pilothouse_notifications.telling import topic_of

SNOOZE_LONGEST = 366 * DAY
WOKEN = 500  # snoozed notifications that one transaction brings back
UNSYNCHRONISED = {"synchronize_session": False}
PURGED = 500  # notices a transaction deletes; each takes people's copies and deliveries along


def mark(user_id: str, notification_id: str, *, read: bool) -> None:
    """Mark one of somebody's own notifications. Raises NotFound, also for those of others."""
    queries.get(user_id, notification_id)
    mark_some(user_id, [notification_id], read=read)


def mark_some(user_id: str, ids: Sequence[str], *, read: bool) -> int:
    """Mark some of somebody's own notifications and return how many that changed; others' are passed over."""
    changing = or_(Notification.read_at.is_(None), Notification.snoozed_until.is_not(None))
    own = update(Notification).where(
        Notification.user_id == user_id, Notification.id.in_(ids), changing if read else Notification.read_at.is_not(None)
    )
    return _changed(user_id, own.values(read_at=now() if read else None, snoozed_until=None))


def mark_all(user_id: str, category: str | None = None) -> int:
    """Mark all of somebody's notifications as read, or those of a group; return how many that changed."""
    own = update(Notification).where(Notification.user_id == user_id, Notification.read_at.is_(None))
    if category is not None:
        own = own.where(Notification.kind == category)
    return _changed(user_id, own.values(read_at=now()))


def snooze(user_id: str, notification_id: str, until: int) -> None:
    """Put one of somebody's own notifications away until a moment (ms). Raises NotFound, Invalid."""
    at = now()
    if not at < until <= at + SNOOZE_LONGEST:
        raise Invalid.field("until", f"must lie ahead, at most {SNOOZE_LONGEST // DAY} days")
    queries.get(user_id, notification_id)
    own = update(Notification).where(Notification.user_id == user_id, Notification.id == notification_id)
    _changed(user_id, own.values(read_at=at, snoozed_until=until))


def wake_snoozed() -> int:
    """Bring back what was snoozed until now, as unread; return how many came back. Opens its own units of work.

    What its reader switched off meanwhile stays read: nothing muted comes later.
    """
    due = select(Notification.id, Notification.user_id, StoredNotice.category).join(
        StoredNotice, StoredNotice.id == Notification.notice_id
    )
    due = due.where(Notification.snoozed_until <= now()).order_by(Notification.snoozed_until).limit(WOKEN)
    back = 0
    while db.session().execute(due).first() is not None:  # mostly nothing is, and then nobody's writing is held up
        with unit_of_work() as session:
            rows = list(session.execute(due.with_for_update(of=Notification, skip_locked=True)))
            if not rows:
                break  # another worker brings them back
            wanted = [row for row in rows if _still_wanted(row.user_id, row.category)]
            ended = update(Notification).where(Notification.id.in_([row.id for row in rows]))
            session.execute(ended.values(snoozed_until=None), execution_options=UNSYNCHRONISED)
            unread = update(Notification).where(Notification.id.in_([row.id for row in wanted]))
            session.execute(unread.values(read_at=None, created_at=now()), execution_options=UNSYNCHRONISED)
            changes, topics = runtime().changes, [topic_of(row.user_id) for row in rows]
            after_commit(partial(changes.bump, *topics))
        back += len(wanted)
    return back


def _still_wanted(user_id: str, name: str) -> bool:
    category = categories.find(name)
    return category is not None and preferences.of_person(user_id).wants(category, "in_app")


def _changed(user_id: str, statement: Update) -> int:
    with unit_of_work():
        count = count_changed(statement.execution_options(**UNSYNCHRONISED))
        changes = runtime().changes
        after_commit(lambda: changes.bump(topic_of(user_id)))
    return count


def purge(days: int) -> int:
    """Delete notices older than so many days, with copies and deliveries; return how many. Opens its own units of work."""
    purged = 0
    while True:
        with unit_of_work() as session:
            old = select(StoredNotice.id).where(
                StoredNotice.created_at < now() - days * DAY, StoredNotice.state.in_((DONE, FOLDED))
            )
            ids = list(db.session().scalars(old.order_by(StoredNotice.created_at).limit(PURGED)))
            session.execute(delete(StoredNotice).where(StoredNotice.id.in_(ids)))
        purged += len(ids)
        if len(ids) < PURGED:
            return purged
