"""Tables of notices, each person's copies of them, deliveries, channels and preferences.

A notice's text is kept once; each person has a narrow row of their own: 100,000 of those are written in seconds.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model, Name

WAITING = "waiting"  # recorded with its event; nobody is told yet
TELLING = "telling"  # being told; `after` is the last person who has been
DONE = "done"
FOLDED = "folded"  # counted with an equal one, `folded_into`

SENT, HELD, MUTED, FAILED = "sent", "held", "muted", "failed"  # of deliveries, beside FOLDED

_OPEN = text("state IN ('waiting', 'telling')")
_FOLDS = text("fold_key IS NOT NULL")
_UNREAD = text("read_at IS NULL")
_DUE = text("due_at IS NOT NULL")
_SNOOZED = text("snoozed_until IS NOT NULL")


class StoredNotice(Model):
    """What an event says in one category: composed when it happened, inside of its transaction.

    `count` is how many equal events it stands for, `payload` the first of them, for programs. `recipients` is a list of ids
    where only some are told. Times are Unix milliseconds.
    """

    __tablename__ = "notices"
    __table_args__ = (
        UniqueConstraint("event_id", "category"),
        Index("ix_notices_open", "state", "id", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_notices_fold", "fold_key", "category", "created_at", sqlite_where=_FOLDS, postgresql_where=_FOLDS),
        Index("ix_notices_created", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    event_id: Mapped[str] = mapped_column(Id)
    category: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Name)
    type: Mapped[str] = mapped_column(Name)
    title: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    action_url: Mapped[str | None] = mapped_column(Text)
    action_label: Mapped[str | None] = mapped_column(Text)
    fold_key: Mapped[str | None] = mapped_column(Name)
    urgent: Mapped[bool]
    recipients: Mapped[str | None] = mapped_column(Json)
    payload: Mapped[str] = mapped_column(Json)
    count: Mapped[int]
    state: Mapped[str] = mapped_column(Name)
    after: Mapped[str | None] = mapped_column(Id)
    told: Mapped[int] = mapped_column(default=0)
    folded_into: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[int] = mapped_column(Millis)


class Notification(Model):
    """One person's copy of a notice: the row is written once, whatever is killed in between.

    A snoozed one counts as read until `snoozed_until`; then it is unread again, and `created_at` says when it came back.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("notice_id", "user_id"),
        Index("ix_notifications_user", "user_id", "created_at", "id"),
        Index("ix_notifications_kind", "user_id", "kind", "created_at", "id"),
        Index("ix_notifications_unread", "user_id", "created_at", "id", sqlite_where=_UNREAD, postgresql_where=_UNREAD),
        Index("ix_notifications_snoozed", "snoozed_until", "id", sqlite_where=_SNOOZED, postgresql_where=_SNOOZED),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    notice_id: Mapped[str] = mapped_column(Id, ForeignKey("notices.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Name)
    count: Mapped[int]
    read_at: Mapped[int | None] = mapped_column(Millis)
    snoozed_until: Mapped[int | None] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)


class Channel(Model):
    """Where the team is told outside of the console.

    `url` is what people see of the address; the address itself is sealed, as it may hold a token, and so are the secrets
    that webhooks are signed with: the old one signs too until `previous_until`. `paused_until` is the breaker.
    """

    __tablename__ = "notification_channels"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Name)
    url: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    categories: Mapped[str] = mapped_column(Json)
    enabled: Mapped[bool]
    secret: Mapped[str | None] = mapped_column(Text)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_until: Mapped[int | None] = mapped_column(Millis)
    failures: Mapped[int] = mapped_column(default=0)
    paused_until: Mapped[int | None] = mapped_column(Millis)
    off_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(Millis)


class Delivery(Model):
    """What became of a notice on one way: `lane` is "in_app", "email" (a member's own address) or a channel's id.

    `status` is sent, held, folded, muted or failed. A held one goes out at `due_at`; `error` says what it waits for. The
    row is written before its effect. `count` is how many equal events it tells of.
    """

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        Index("ix_notification_deliveries_due", "lane", "due_at", sqlite_where=_DUE, postgresql_where=_DUE),
        Index("ix_notification_deliveries_created", "created_at", "id"),
        Index("ix_notification_deliveries_notice", "notice_id", "lane", "user_id"),
        Index("ix_notification_deliveries_user", "user_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    notice_id: Mapped[str] = mapped_column(Id, ForeignKey("notices.id", ondelete="CASCADE"))
    lane: Mapped[str] = mapped_column(Name)
    user_id: Mapped[str | None] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    notification_id: Mapped[str | None] = mapped_column(Id)
    status: Mapped[str] = mapped_column(Name)
    attempts: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)
    count: Mapped[int]
    due_at: Mapped[int | None] = mapped_column(Millis)
    at: Mapped[int] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)


class Preference(Model):
    """What a person chose for a category or a group of them, where it differs from the default."""

    __tablename__ = "notification_preferences"
    __table_args__ = (Index("ix_notification_preferences_category", "category", "channel", "enabled"),)

    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    category: Mapped[str] = mapped_column(Name, primary_key=True)
    channel: Mapped[str] = mapped_column(Name, primary_key=True)
    enabled: Mapped[bool]


class Schedule(Model):
    """When a person wants no mail: quiet hours in minutes of their local day, and the digest: off, hourly or daily."""

    __tablename__ = "notification_schedules"

    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    quiet_from: Mapped[int | None]
    quiet_to: Mapped[int | None]
    tz: Mapped[str] = mapped_column(Name)
    digest: Mapped[str] = mapped_column(Name)


MODELS = (StoredNotice, Notification, Channel, Delivery, Preference, Schedule)
