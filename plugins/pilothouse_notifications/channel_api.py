"""The HTTP endpoints of channels and of the delivery log, for admins."""

from __future__ import annotations

from typing import Any

import msgspec

from pilothouse.sdk import DEFAULT_LIMIT, ApiBlueprint, Limit, Page, page_of, read_cursor, to_rfc3339
from pilothouse_notifications import channels, delivering, queries, sending
from pilothouse_notifications.models import Channel
from pilothouse_notifications.permissions import DELIVERIES, MANAGE
from pilothouse_notifications.queries import DeliveryFilters


class ChannelQuery(msgspec.Struct, frozen=True):
    """Which channels: there are few, so the first page has them all."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class ChannelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A channel; an address that holds tokens is shown by its kind only. `off_reason` says why it was switched off."""

    id: str
    name: str
    kind: str
    url: str
    categories: list[str]
    enabled: bool
    failures: int
    off_reason: str | None
    created_at: str


class NewChannelRecord(ChannelRecord, frozen=True, kw_only=True):
    """A channel with the secret that its messages are signed with, shown this once; null where it has none."""

    secret: str | None


class NewChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel to be made; without categories it gets all that such a channel usually gets."""

    name: str
    kind: str
    url: str
    categories: list[str] = []
    enabled: bool = True


class ChannelChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; what is left out stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    url: str | msgspec.UnsetType = msgspec.UNSET
    categories: list[str] | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class TestResult(msgspec.Struct, frozen=True):
    """How a test send went."""

    sent: bool
    error: str | None
    message_id: str


class DeliveryQuery(msgspec.Struct, frozen=True):
    """Filters of the log; `channel_id` is a channel's id, or in_app or email."""

    channel_id: str | None = None
    status: str | None = None
    event_id: str | None = None
    notification_id: str | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notice on one way. A held one goes out at `due_at`; `error` says what it waits for, or what failed.

    `recipients` is how many members see a notice in the console.
    """

    id: str
    channel_id: str
    channel: str
    notification_id: str | None
    event_id: str
    event: str
    title: str
    user_id: str | None
    status: str
    attempts: int
    error: str | None
    count: int
    recipients: int | None
    at: str
    due_at: str | None
    created_at: str


def add_routes(bp: ApiBlueprint) -> None:
    """Add the endpoints."""
    bp.get("/notifications/channels", permission=MANAGE)(list_channels)
    bp.post("/notifications/channels", permission=MANAGE, status=201)(create_channel)
    bp.patch("/notifications/channels/<channel_id>", permission=MANAGE)(change_channel)
    bp.delete("/notifications/channels/<channel_id>", permission=MANAGE)(delete_channel)
    bp.post("/notifications/channels/<channel_id>/test", permission=MANAGE, transaction=False)(test_channel)
    bp.post("/notifications/channels/<channel_id>/rotate", permission=MANAGE)(rotate_channel)
    bp.get("/notifications/deliveries", permission=DELIVERIES)(list_deliveries)
    bp.post("/notifications/deliveries/<delivery_id>/replay", permission=DELIVERIES)(replay_delivery)


def list_channels(query: ChannelQuery) -> Page[ChannelRecord]:
    """List the channels.

    Newest first.
    """
    rows = queries.channels()
    after = read_cursor(query.cursor) if query.cursor else None
    rows = [row for row in rows if after is None or (row.created_at, row.id) < after]
    page, cursor = page_of(rows[: query.limit + 1], query.limit, lambda row: (row.created_at, row.id))
    return Page([ChannelRecord(**_fields(row)) for row in page], cursor)


def create_channel(body: NewChannel) -> NewChannelRecord:
    """Make a channel.

    `kind` is webhook, email or apprise. The answer holds a webhook's secret, this once.
    """
    channel, secret = channels.create(body.name, body.kind, body.url, body.categories, enabled=body.enabled)
    return NewChannelRecord(**_fields(channel), secret=secret)


def change_channel(channel_id: str, body: ChannelChange) -> ChannelRecord:
    """Change a channel.

    Switching it on again also ends its pause.
    """
    changes = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not msgspec.UNSET}
    return ChannelRecord(**_fields(channels.change(channel_id, changes)))


def delete_channel(channel_id: str) -> None:
    """Delete a channel; what it had still to send is given up. 404 where there is none."""
    channels.remove(channel_id)


def test_channel(channel_id: str) -> TestResult:
    """Send a test message and say how it went."""
    channel = queries.channel(channel_id)
    message = sending.test_message(channel.name)
    outcome = sending.send(channel, message)
    return TestResult(outcome.result == "sent", outcome.error, message.message_id)


def rotate_channel(channel_id: str) -> NewChannelRecord:
    """Give a webhook a new secret, shown this once; for a day messages are signed with both."""
    channel, secret = channels.rotate(channel_id)
    return NewChannelRecord(**_fields(channel), secret=secret)


def list_deliveries(query: DeliveryQuery) -> Page[DeliveryRecord]:
    """List who was told what, by which way, or why not.

    Newest first.
    """
    filters = DeliveryFilters(query.channel_id, query.status, query.event_id, query.notification_id)
    after = read_cursor(query.cursor) if query.cursor else None
    found = queries.deliveries(filters, query.limit, after)
    rows, cursor = page_of(found, query.limit, lambda row: (row.created_at, row.id))
    return Page([_delivery(row) for row in rows], cursor)


def replay_delivery(delivery_id: str) -> DeliveryRecord:
    """Let a failed delivery go out again."""
    return _delivery(delivering.replay(delivery_id))


def _fields(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id, "name": channel.name, "kind": channel.kind, "url": channel.url,
        "categories": msgspec.json.decode(channel.categories), "enabled": channel.enabled, "failures": channel.failures,
        "off_reason": channel.off_reason, "created_at": to_rfc3339(channel.created_at),
    }  # fmt: skip


def _delivery(row: Any) -> DeliveryRecord:
    return DeliveryRecord(
        id=row.id, channel_id=row.lane, channel=row.channel or row.email or row.lane, notification_id=row.notification_id,
        event_id=row.event_id, event=row.category, title=row.title, user_id=row.user_id, status=row.status,
        attempts=row.attempts, error=row.error, count=row.count,
        recipients=row.told if row.lane == "in_app" and row.user_id is None else None, at=to_rfc3339(row.at),
        due_at=None if row.due_at is None else to_rfc3339(row.due_at), created_at=to_rfc3339(row.created_at),
    )  # fmt: skip
