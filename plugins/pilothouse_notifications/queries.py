"""Reading notifications and deliveries: a person's own only, filters, keyset pages, the unread count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, or_, select, tuple_

from pilothouse.sdk import NotFound, Principal, User, db
from pilothouse_notifications.models import Channel, Delivery, Notification, StoredNotice

SHOWN: tuple[Any, ...] = (
    Notification.id, Notification.user_id, Notification.notice_id, Notification.kind, Notification.count,
    Notification.read_at, Notification.snoozed_until, Notification.created_at, StoredNotice.category, StoredNotice.type,
    StoredNotice.title, StoredNotice.message, StoredNotice.action_url, StoredNotice.action_label,
)  # fmt: skip
DELIVERED: tuple[Any, ...] = (
    Delivery.id, Delivery.notice_id, Delivery.lane, Delivery.user_id, Delivery.notification_id, Delivery.status,
    Delivery.attempts, Delivery.error, Delivery.count, Delivery.due_at, Delivery.at, Delivery.created_at,
    StoredNotice.category, StoredNotice.title, StoredNotice.told, StoredNotice.event_id,
    Channel.name.label("channel"), User.email,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filters:
    """Which notifications: only unread ones (or only read ones), of a category or group, (not) snoozed; None for any."""

    unread: bool | None = None
    category: str | None = None
    snoozed: bool | None = None


def reader_of(principal: Principal) -> str | None:
    """Return whose notifications a caller reads: their own; those of the first owner for the command line's tokens."""
    if principal.user_id is not None:
        return principal.user_id
    owners = select(User.id).where(User.role == "owner", User.status == "active")
    return db.session().scalar(owners.order_by(User.created_at, User.id).limit(1))


def page(user_id: str, filters: Filters, limit: int, after: tuple[int, str] | None = None) -> list[Row[Any]]:
    """Return up to `limit + 1` of somebody's notifications, newest first, after the cursor."""
    statement = _mine(user_id, filters)
    if after is not None:
        statement = statement.where(tuple_(Notification.created_at, Notification.id) < after)
    newest = statement.order_by(Notification.created_at.desc(), Notification.id.desc())
    return list(db.session().execute(newest.limit(limit + 1)))


def newer(user_id: str, filters: Filters, limit: int, before: tuple[int, str]) -> list[Row[Any]]:
    """Return up to `limit + 1` notifications just newer than the cursor, the oldest of them first."""
    statement = _mine(user_id, filters).where(tuple_(Notification.created_at, Notification.id) > before)
    return list(db.session().execute(statement.order_by(Notification.created_at, Notification.id).limit(limit + 1)))


def _mine(user_id: str, filters: Filters) -> Select[Any]:
    statement: Select[Any] = select(*SHOWN).join(StoredNotice, StoredNotice.id == Notification.notice_id)
    statement = statement.where(Notification.user_id == user_id)
    if filters.unread is not None:
        is_unread = Notification.read_at.is_(None)
        statement = statement.where(is_unread if filters.unread else ~is_unread)
    if filters.category is not None:
        statement = statement.where(or_(Notification.kind == filters.category, StoredNotice.category == filters.category))
    if filters.snoozed is not None:
        is_snoozed = Notification.snoozed_until.is_not(None)
        statement = statement.where(is_snoozed if filters.snoozed else ~is_snoozed)
    return statement


def get(user_id: str, notification_id: str) -> Row[Any]:
    """Return one of somebody's own notifications. Raises NotFound, also for those of others."""
    row = db.session().execute(_mine(user_id, Filters()).where(Notification.id == notification_id)).first()
    if row is None:
        raise NotFound("There is no such notification.")
    return row


def unread_count(user_id: str) -> int:
    """Return how many notifications somebody has not read."""
    unread = select(func.count()).where(Notification.user_id == user_id, Notification.read_at.is_(None))
    return int(db.session().scalar(unread) or 0)


def unread_by_kind(user_id: str) -> dict[str, int]:
    """Return the unread counts by group."""
    unread = select(Notification.kind, func.count()).where(Notification.user_id == user_id, Notification.read_at.is_(None))
    return {row.kind: int(row[1]) for row in db.session().execute(unread.group_by(Notification.kind))}


def channels() -> list[Channel]:
    """Return all channels, the newest first."""
    return list(db.session().scalars(select(Channel).order_by(Channel.created_at.desc(), Channel.id.desc())))


def channel(channel_id: str) -> Channel:
    """Return one channel. Raises NotFound."""
    found = db.session().get(Channel, channel_id, populate_existing=True)
    if found is None:
        raise NotFound("There is no such channel.")
    return found


@dataclass(frozen=True, slots=True)
class DeliveryFilters:
    """Which deliveries; None for any. `lane` is "in_app", "email" or a channel's id."""

    lane: str | None = None
    status: str | None = None
    event_id: str | None = None
    notification_id: str | None = None


def deliveries(filters: DeliveryFilters, limit: int, after: tuple[int, str] | None = None) -> list[Row[Any]]:
    """Return up to `limit + 1` deliveries, newest first, after the cursor."""
    statement = _delivered()
    wanted = (
        (Delivery.lane, filters.lane), (Delivery.status, filters.status),
        (StoredNotice.event_id, filters.event_id), (Delivery.notification_id, filters.notification_id),
    )  # fmt: skip
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    if after is not None:
        statement = statement.where(tuple_(Delivery.created_at, Delivery.id) < after)
    return list(db.session().execute(statement.order_by(Delivery.created_at.desc(), Delivery.id.desc()).limit(limit + 1)))


def delivery(delivery_id: str) -> Row[Any]:
    """Return one delivery. Raises NotFound."""
    row = db.session().execute(_delivered().where(Delivery.id == delivery_id)).first()
    if row is None:
        raise NotFound("There is no such delivery.")
    return row


def _delivered() -> Select[Any]:
    statement: Select[Any] = select(*DELIVERED).join(StoredNotice, StoredNotice.id == Delivery.notice_id)
    return statement.outerjoin(Channel, Channel.id == Delivery.lane).outerjoin(User, User.id == Delivery.user_id)
