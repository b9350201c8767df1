"""The HTTP endpoints of a person's own notifications and preferences."""

from __future__ import annotations

from typing import Any

import msgspec

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    ApiBlueprint,
    Conflict,
    Deadline,
    Limit,
    Page,
    current_principal,
    page_of,
    read_cursor,
    require,
    to_rfc3339,
)
from pilothouse_notifications import categories, channel_api, preferences, queries, service
from pilothouse_notifications.permissions import CHANGE, VIEW
from pilothouse_notifications.preferences import Choices
from pilothouse_notifications.queries import Filters
from pilothouse_notifications.telling import EVERYONE, topic_of


class ListQuery(msgspec.Struct, frozen=True):
    """Filters of the list; `category` is a group (workflow, system, team, billing, ...) or one category's full name."""

    unread: bool | None = None
    category: str | None = None
    snoozed: bool | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class NotificationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One notification of the caller's own. `count` is how many equal events it stands for; `event` names what happened."""

    id: str
    user_id: str
    type: str
    category: str
    event: str
    title: str
    message: str
    action_url: str | None
    action_label: str | None
    read: bool
    snoozed_until: str | None
    count: int
    created_at: str


class Unread(msgspec.Struct, frozen=True):
    """How many notifications are unread."""

    unread: int


class Marked(msgspec.Struct, frozen=True):
    """How many notifications were marked."""

    marked: int
    unread: int


class ReadAll(msgspec.Struct, frozen=True):
    """Which to mark as read; all without a category."""

    category: str | None = None


class Snooze(msgspec.Struct, frozen=True):
    """Until when: RFC 3339 with an offset, or Unix milliseconds; at most a year ahead."""

    until: Deadline


class Switches(msgspec.Struct, frozen=True):
    """By which ways somebody is told of a category."""

    in_app: bool
    email: bool


class QuietHours(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """When no mail is sent: `HH:MM` of the local day in an IANA zone; null for never."""

    start: str | None = None
    end: str | None = None
    tz: str = "UTC"


class PreferenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is told: groups, and each category by its full name; a group that is off takes its categories along."""

    categories: dict[str, Switches]
    quiet_hours: QuietHours
    digest: str


class PreferenceChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; what is left out stays. `quiet_hours` null ends them."""

    categories: dict[str, dict[str, bool]] = {}
    quiet_hours: QuietHours | msgspec.UnsetType | None = msgspec.UNSET
    digest: str | msgspec.UnsetType = msgspec.UNSET


def blueprint() -> ApiBlueprint:
    """Return the endpoints of notifications."""
    bp = ApiBlueprint("notifications")
    bp.get("/notifications", permission=VIEW, topics=topics)(list_notifications)
    bp.get("/notifications/count", permission=VIEW, topics=topics)(count_notifications)
    bp.post("/notifications/<notification_id>/read", permission=CHANGE)(read_notification)
    bp.post("/notifications/<notification_id>/unread", permission=CHANGE)(unread_notification)
    bp.post("/notifications/<notification_id>/snooze", permission=CHANGE)(snooze_notification)
    bp.post("/notifications/read-all", permission=CHANGE)(read_all_notifications)
    bp.get("/notifications/preferences", permission=VIEW)(get_preferences)
    bp.put("/notifications/preferences", permission=CHANGE)(put_preferences)
    channel_api.add_routes(bp)
    return bp


def topics() -> tuple[str, ...]:
    """Return the topics of the caller's notifications."""
    principal = current_principal()
    reader = queries.reader_of(principal) if principal else None
    return (EVERYONE, topic_of(reader or ""))


def list_notifications(query: ListQuery) -> Page[NotificationRecord]:
    """List one's own notifications.

    Newest first. `unread=true` leaves out what was read or is snoozed, `snoozed=true` shows what is put away.
    """
    reader = queries.reader_of(require(VIEW))
    if reader is None:
        return Page([])
    after = read_cursor(query.cursor) if query.cursor else None
    found = queries.page(reader, Filters(query.unread or None, query.category, query.snoozed or None), query.limit, after)
    rows, cursor = page_of(found, query.limit, lambda row: (row.created_at, row.id))
    return Page([shown(row) for row in rows], cursor)


def count_notifications() -> Unread:
    """Count one's own unread notifications."""
    reader = queries.reader_of(require(VIEW))
    return Unread(queries.unread_count(reader) if reader else 0)


def read_notification(notification_id: str) -> NotificationRecord:
    """Mark a notification as read."""
    return _mark(notification_id, read=True)


def unread_notification(notification_id: str) -> NotificationRecord:
    """Mark a notification as unread."""
    return _mark(notification_id, read=False)


def snooze_notification(notification_id: str, body: Snooze) -> NotificationRecord:
    """Put a notification away until a moment.

    It counts as read until then, and is unread again after that; `unread` brings it back at once, `read` for good.
    """
    reader = queries.reader_of(require(CHANGE)) or ""
    service.snooze(reader, notification_id, body.until)
    return shown(queries.get(reader, notification_id))


def _mark(notification_id: str, *, read: bool) -> NotificationRecord:
    reader = queries.reader_of(require(CHANGE)) or ""
    service.mark(reader, notification_id, read=read)
    return shown(queries.get(reader, notification_id))


def read_all_notifications(body: ReadAll) -> Marked:
    """Mark all notifications as read, or those of a category's group."""
    reader = queries.reader_of(require(CHANGE))
    marked = service.mark_all(reader, body.category) if reader else 0
    return Marked(marked, queries.unread_count(reader) if reader else 0)


def get_preferences() -> PreferenceRecord:
    """Show what one is told, and when."""
    reader = queries.reader_of(require(VIEW))
    return _preferences(preferences.of_person(reader) if reader else Choices())


def put_preferences(body: PreferenceChange) -> PreferenceRecord:
    """Change what one is told, and when.

    A category may be a group or a full name; what is left out stays as it is.
    """
    reader = queries.reader_of(require(CHANGE))
    if reader is None:
        raise Conflict("There is nobody yet whose preferences these could be.")
    preferences.choose(reader, body.categories)
    if body.quiet_hours is not msgspec.UNSET:
        hours = body.quiet_hours or QuietHours()
        preferences.set_quiet_hours(reader, hours.start, hours.end, hours.tz)
    if body.digest is not msgspec.UNSET:
        preferences.set_digest(reader, body.digest)
    return _preferences(preferences.of_person(reader))


def _preferences(choices: Choices) -> PreferenceRecord:
    found = {
        group: Switches(*(choices.chosen.get((group, channel), True) for channel in preferences.CHANNELS))
        for group in categories.groups()
    }
    for category in categories.every():
        own = (choices.chosen.get((category.name, channel), category.on_by_default) for channel in preferences.CHANNELS)
        found[category.name] = Switches(*own)
    start, end = preferences.clock_text(choices.quiet_from), preferences.clock_text(choices.quiet_to)
    return PreferenceRecord(categories=found, quiet_hours=QuietHours(start, end, choices.tz), digest=choices.digest)


def shown(row: Any) -> NotificationRecord:
    """Write a notification as the API shows it."""
    return NotificationRecord(
        id=row.id, user_id=row.user_id, type=row.type, category=row.kind, event=row.category, title=row.title,
        message=row.message, action_url=row.action_url, action_label=row.action_label, read=row.read_at is not None,
        snoozed_until=to_rfc3339(row.snoozed_until) if row.snoozed_until else None, count=row.count,
        created_at=to_rfc3339(row.created_at),
    )  # fmt: skip
