"""From events to notices: composed at the end of the event's own transaction, equal ones counted together at once.

So a notice exists exactly if its event does, and ten thousand equal failures cost a few rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from pilothouse.sdk import (
    Bulk,
    Event,
    Notice,
    NotificationCategory,
    PluginFailed,
    clean_text,
    db,
    enqueue,
    new_id,
    now,
    runtime,
)
from pilothouse_notifications import categories
from pilothouse_notifications.models import WAITING, Channel, Preference, StoredNotice

FAN_OUT = "notifications.fan_out"
TITLE_CHARS, MESSAGE_CHARS = 300, 2_000  # what a list, a mail's subject and a chat message can show
FOLD_CHARS = 200
COLUMNS = (
    "id", "event_id", "category", "kind", "type", "title", "message", "action_url", "action_label", "fold_key", "urgent",
    "recipients", "payload", "count", "state", "told", "created_at",
)  # fmt: skip
# built once: every recorded execution that ended asks
_CHOSEN = select(Preference.user_id).where(Preference.category == bindparam("category"), Preference.enabled).limit(1)
_ASKED = select(Channel.kind, Channel.categories).where(Channel.enabled)

Composed = tuple[NotificationCategory, Notice, Event]


def wants(event: type[Event]) -> bool:
    """Say whether some plugin declares a category for the event type."""
    return bool(categories.of_event(event))


def take(events: Sequence[Event]) -> None:
    """Write notices of the events of one transaction, and wake who tells people of them."""
    rows = _rows(_folded(_composed(events)))
    if rows:
        table = StoredNotice.__table__
        Bulk(table, COLUMNS, ignore_conflicts=True).insert(db.session().connection(), rows)
        enqueue(FAN_OUT, {}, key=FAN_OUT)


def _composed(events: Sequence[Event]) -> Iterable[Composed]:
    wanted: dict[type[Event], list[tuple[str, NotificationCategory]]] = {}
    for event in events:
        kind = type(event)
        if kind not in wanted:
            wanted[kind] = [(plugin, category) for plugin, category in categories.of_event(kind) if _is_wanted(category)]
        for plugin, category in wanted[kind]:
            notice = _in_words(plugin, category, event)
            if notice is not None:
                yield category, notice, event


def _in_words(plugin: str, category: NotificationCategory, event: Event) -> Notice | None:
    """Put an event into a plugin's words; None where it has none or fails, which must cost others none of theirs."""
    try:
        notice: Notice | None = runtime().registry.guard.call(plugin, category.name, _compose, category, event)
    except PluginFailed as failed:
        if isinstance(failed.__cause__, SQLAlchemyError):
            raise failed.__cause__ from None  # nobody knows whether the transaction is still there
        return None
    return notice


def _compose(category: NotificationCategory, event: Event) -> Notice | None:
    notice: Any = category.compose(event)
    if notice is None or isinstance(notice, Notice):
        return notice
    raise TypeError(f"{category.name} must compose a Notice, not {notice!r:.80}")


def _is_wanted(category: NotificationCategory) -> bool:
    """Say whether anybody may want to hear of it: what is off by default is written only where somebody asked for it."""
    if category.on_by_default:
        return True
    connection = db.session().connection()
    if connection.execute(_CHOSEN, {"category": category.name}).first() is not None:
        return True
    return any(takes(kind, names, category) for kind, names in connection.execute(_ASKED))


def takes(kind: str, chosen: str, category: NotificationCategory) -> bool:
    """Say whether a channel of a kind with such a list of categories or groups (JSON) is told of a category.

    Without a list a webhook gets everything, as programs filter by themselves; people get what is on by default.
    """
    names = msgspec.json.decode(chosen, type=list[str])
    if not names:
        return kind == "webhook" or category.on_by_default
    of_group = category.on_by_default or (kind == "webhook" and category.for_programs)
    return category.name in names or (category.group in names and of_group)


def _folded(composed: Iterable[Composed]) -> list[tuple[Composed, int]]:
    """Count equal ones together; the first of them stands for all."""
    first: dict[tuple[str, str], int] = {}
    found: list[tuple[Composed, int]] = []
    for each in composed:
        category, notice, _ = each
        key = (category.name, notice.fold_key or "")
        if notice.fold_key is not None and key in first:
            held, count = found[first[key]]
            found[first[key]] = (held, count + 1)
            continue
        first[key] = len(found)
        found.append((each, 1))
    return found


def _rows(folded: list[tuple[Composed, int]]) -> list[tuple[Any, ...]]:
    return [_row(category, notice, event, count) for (category, notice, event), count in folded]


def _row(category: NotificationCategory, notice: Notice, event: Event, count: int) -> tuple[Any, ...]:
    recipients = msgspec.json.encode(notice.recipients).decode() if notice.recipients else None
    payload = msgspec.json.encode(event).decode()
    return (
        new_id(), event.event_id, category.name, category.group, notice.type, clean_text(notice.title)[:TITLE_CHARS],
        clean_text(notice.message)[:MESSAGE_CHARS], notice.action_url, notice.action_label,
        clean_text(notice.fold_key)[:FOLD_CHARS] if notice.fold_key else None, notice.urgent, recipients, payload, count,
        WAITING, 0, now(),
    )  # fmt: skip
