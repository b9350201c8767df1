"""Acting on notifications: read, unread, read all; inside the caller's unit of work."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update

from pilothouse.sdk import DAY, after_commit, db, now, runtime, unit_of_work
from pilothouse_notifications import queries
from pilothouse_notifications.models import DONE, FOLDED, Notification, StoredNotice
from pilothouse_notifications.telling import topic_of

PURGED = 500  # notices a transaction deletes; each takes people's copies and deliveries along


def mark(user_id: str, notification_id: str, *, read: bool) -> None:
    """Mark one of somebody's own notifications. Raises NotFound, also for those of others."""
    queries.get(user_id, notification_id)
    mark_some(user_id, [notification_id], read=read)


def mark_some(user_id: str, ids: Sequence[str], *, read: bool) -> int:
    """Mark some of somebody's own notifications and return how many that changed; others' are passed over."""
    changing = Notification.read_at.is_(None) if read else Notification.read_at.is_not(None)
    own = update(Notification).where(Notification.user_id == user_id, Notification.id.in_(ids), changing)
    return _changed(user_id, own.values(read_at=now() if read else None))


def mark_all(user_id: str, category: str | None = None) -> int:
    """Mark all of somebody's notifications as read, or those of a group; return how many that changed."""
    own = update(Notification).where(Notification.user_id == user_id, Notification.read_at.is_(None))
    if category is not None:
        own = own.where(Notification.kind == category)
    return _changed(user_id, own.values(read_at=now()))


def _changed(user_id: str, statement: object) -> int:
    with unit_of_work() as session:
        result = session.execute(statement, execution_options={"synchronize_session": False})  # type: ignore[call-overload]
        changes = runtime().changes
        after_commit(lambda: changes.bump(topic_of(user_id)))
    return int(result.rowcount)


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
