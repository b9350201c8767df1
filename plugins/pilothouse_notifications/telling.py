"""Fan-out: from a notice to one row for each person and one delivery for each way, in small transactions.

Each transaction tells some thousand people and moves the notice's `after` on: a worker that is killed goes on where it
stopped, and nobody is told twice. Equal notices fold into the unread one of the last hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from pilothouse.sdk import HOUR, MINUTE, Bulk, NotificationCategory, User, after_commit, db, new_id, now, runtime, unit_of_work
from pilothouse_notifications import categories, preferences
from pilothouse_notifications.models import (
    DONE,
    FAILED,
    FOLDED,
    HELD,
    MUTED,
    SENT,
    TELLING,
    WAITING,
    Channel,
    Delivery,
    Notification,
    StoredNotice,
)  # fmt: skip
from pilothouse_notifications.preferences import Choices
from pilothouse_notifications.recorder import takes
from pilothouse_notifications.waking import IN_APP, MAIL, wake

FOLD_WINDOW = HOUR  # an unread notice takes in equal ones for so long; then a new one says that it still happens
CHANNEL_WINDOW = 5 * MINUTE  # a channel hears of equal events once, then of how many there were since
CHUNK = 5_000  # people a transaction tells: 0.4 s on SQLite, so that others can write in between
BATCH = 5_000  # waiting notices that one look takes
FEW = 50  # people whose revisions are raised one by one; for more, everybody's is
EVERYONE = "notifications:everyone"
PLACES = ("id", "notice_id", "user_id", "kind", "count", "created_at")
WAYS = (
    "id", "notice_id", "lane", "user_id", "notification_id", "status", "attempts", "error", "count", "due_at", "at",
    "created_at",
)  # fmt: skip


def topic_of(user_id: str) -> str:
    """Return the topic whose revision changes with a person's notifications."""
    return f"notifications:{user_id}"


def tell_all() -> int:
    """Tell people of everything that waits; return how many notices that were. Opens its own units of work."""
    told = 0
    while _fold_waiting():
        open_ones = select(StoredNotice.id).where(StoredNotice.state == TELLING).order_by(StoredNotice.id)
        for notice_id in list(db.session().scalars(open_ones)):
            while _tell_some(notice_id):
                continue
            told += 1
    return told


def _fold_waiting() -> bool:
    """Count equal waiting notices together and let the first of each go on; say whether any is to be told."""
    with unit_of_work() as session:
        columns = (StoredNotice.id, StoredNotice.category, StoredNotice.fold_key, StoredNotice.count)
        waiting = select(*columns).where(StoredNotice.state == WAITING).order_by(StoredNotice.id).limit(BATCH)
        leaders: dict[tuple[str, str], list[Any]] = {}
        followers: list[tuple[str, str, str]] = []
        for row in session.execute(waiting.with_for_update()):
            leader = leaders.setdefault((row.category, row.fold_key or row.id), [row.id, 0])
            leader[1] += row.count
            if leader[0] != row.id:
                followers.append((FOLDED, leader[0], row.id))
        table = StoredNotice.__table__
        connection = session.connection()
        Bulk(table, ("state", "folded_into", "id")).update(connection, followers)
        going = [(TELLING, count, notice_id) for notice_id, count in leaders.values()]
        Bulk(table, ("state", "count", "id")).update(connection, going)
        is_open = select(StoredNotice.id).where(StoredNotice.state == TELLING).limit(1)
        return bool(going) or session.execute(is_open).first() is not None


@dataclass(frozen=True, slots=True)
class _Telling:
    """A notice with its category, and the equal ones of the last hour that it may fold into."""

    notice: StoredNotice
    category: NotificationCategory
    earlier: Sequence[str]


def _tell_some(notice_id: str) -> bool:
    """Tell the next people in one transaction; say whether there are more."""
    with unit_of_work() as session:
        notice = session.get(StoredNotice, notice_id, with_for_update=True, populate_existing=True)
        if notice is None or notice.state != TELLING:
            return False
        category = categories.find(notice.category)
        if category is None:  # its plugin was taken out meanwhile
            notice.state = DONE
            return False
        telling = _Telling(notice, category, _earlier(notice))
        if notice.after is None:
            _tell_channels(telling)
        people = _next_people(telling)
        if people:
            notice.told += _tell(telling, people)
            notice.after = people[-1]
        if len(people) == CHUNK:
            return True
        notice.state = DONE
        _log_in_app(telling)
        return False


def _earlier(notice: StoredNotice) -> list[str]:
    if notice.fold_key is None:
        return []
    same = select(StoredNotice.id).where(
        StoredNotice.fold_key == notice.fold_key, StoredNotice.category == notice.category,
        StoredNotice.created_at > notice.created_at - FOLD_WINDOW, StoredNotice.state == DONE, StoredNotice.id != notice.id,
    )  # fmt: skip
    return list(db.session().scalars(same.order_by(StoredNotice.created_at.desc())))


def _next_people(telling: _Telling) -> list[str]:
    notice = telling.notice
    roles = categories.roles_of(telling.category)
    if not roles:
        return []
    people = select(User.id).where(User.status == "active", User.role.in_(roles), User.id > (notice.after or ""))
    if notice.recipients is not None:
        people = people.where(User.id.in_(msgspec.json.decode(notice.recipients, type=list[str])))
    # nobody is removed between here and the commit, which PostgreSQL would refuse then
    locked = people.order_by(User.id).limit(CHUNK).with_for_update(read=True, key_share=True)
    return list(db.session().scalars(locked))


def _tell(telling: _Telling, people: list[str]) -> int:
    """Write the rows of these people; return how many see it in the console, folded or not."""
    notice, category = telling.notice, telling.category
    choices = preferences.of_people(people, (category.name, category.group))
    plain = Choices()
    by_default = plain.wants(category, "in_app")
    in_app = [one for one in people if (choices[one].wants(category, "in_app") if one in choices else by_default)]
    folded = _fold(telling, people)
    notice_id, group, count, at = notice.id, category.group, notice.count, now()
    copies = {person: new_id() for person in in_app if person not in folded}
    rows = [(copy, notice_id, person, group, count, at) for person, copy in copies.items()]
    connection = db.session().connection()
    Bulk(Notification.__table__, PLACES, ignore_conflicts=True).insert(connection, rows)
    ways = _mails(telling, people, choices, copies) + _muted(telling, choices)
    Bulk(Delivery.__table__, WAYS).insert(connection, ways)
    if any(way[9] is not None for way in ways):
        wake(MAIL)
    _changed([*copies, *folded])
    return len(in_app)


def _fold(telling: _Telling, people: Sequence[str]) -> set[str]:
    """Raise the count of unread equal notices; return whose."""
    if not telling.earlier:
        return set()
    unread = (
        update(Notification)
        .where(
            Notification.notice_id.in_(telling.earlier), Notification.read_at.is_(None),
            Notification.user_id >= people[0], Notification.user_id <= people[-1],
        )
        .values(count=Notification.count + telling.notice.count)
        .returning(Notification.user_id)
    )  # fmt: skip
    return set(db.session().scalars(unread, execution_options={"synchronize_session": False}))


def _mails(
    telling: _Telling, people: Sequence[str], choices: dict[str, Choices], copies: dict[str, str]
) -> list[tuple[Any, ...]]:
    """Return deliveries for those who want mail; nobody gets one for what they had a mail of within the hour."""
    notice, category, at = telling.notice, telling.category, now()
    mailed, urgent = _mailed(telling, people), notice.urgent
    usual = _mail_slot(Choices(), category, at, urgent=urgent)  # of nearly everybody: it is worked out once
    notice_id, count = notice.id, notice.count
    ways = []
    for person in people:
        slot = _mail_slot(choices[person], category, at, urgent=urgent) if person in choices else usual
        if slot is not None and person not in mailed:
            due_at, waits = slot
            ways.append((new_id(), notice_id, MAIL, person, copies.get(person), HELD, 0, waits, count, due_at, at, at))
    return ways


def _mail_slot(chosen: Choices, category: NotificationCategory, at: int, *, urgent: bool) -> tuple[int, str | None] | None:
    """Return when a mail may go and what it waits for until then; None for somebody who wants none."""
    return chosen.mail_at(at, urgent=urgent) if chosen.wants(category, "email") else None


def _mailed(telling: _Telling, people: Sequence[str]) -> set[str]:
    if not telling.earlier:
        return set()
    before = select(Delivery.user_id).where(
        Delivery.notice_id.in_(telling.earlier), Delivery.lane == MAIL, Delivery.status.in_((SENT, HELD, FAILED)),
        Delivery.user_id >= people[0], Delivery.user_id <= people[-1],
    )  # fmt: skip
    return {person for person in db.session().scalars(before) if person is not None}


def _muted(telling: _Telling, choices: dict[str, Choices]) -> list[tuple[Any, ...]]:
    """Return what says that people switched this off: the log answers why somebody was not told."""
    lanes = (("in_app", IN_APP), ("email", MAIL))
    return [
        _way(telling.notice, lane, person, None, status=MUTED, error="Switched off in their preferences.", due_at=None)
        for person, chosen in choices.items()
        for channel, lane in lanes
        if chosen.muted(telling.category, channel)
    ]


def _way(
    notice: StoredNotice, lane: str, person: str | None, copy: str | None, *, status: str, error: str | None, due_at: int | None
) -> tuple[Any, ...]:
    at = now()
    return (new_id(), notice.id, lane, person, copy, status, 0, error, notice.count, due_at, at, at)


def _log_in_app(telling: _Telling) -> None:
    """Say in the log how many saw it in the console; one row for all of them."""
    notice = telling.notice
    status = FOLDED if telling.earlier else SENT
    words = f"In the console of {notice.told} member{'' if notice.told == 1 else 's'}."
    way = _way(notice, IN_APP, None, None, status=status, error=None if notice.told else words, due_at=None)
    Bulk(Delivery.__table__, WAYS).insert(db.session().connection(), [way])


def _tell_channels(telling: _Telling) -> None:
    """Write deliveries to the channels that take the category."""
    session, notice = db.session(), telling.notice
    for channel in session.scalars(select(Channel).where(Channel.enabled).order_by(Channel.id)):
        if not takes(channel.kind, channel.categories, telling.category):
            continue
        due_at, waits = now(), None
        last = _last_delivery(telling, channel.id)
        if last is not None and last.status == HELD and last.attempts == 0:
            session.execute(update(Delivery).where(Delivery.id == last.id).values(count=Delivery.count + notice.count))
            rows = [_way(notice, channel.id, None, None, status=FOLDED, error="Counted with an equal one.", due_at=None)]
        else:
            if last is not None:
                due_at, waits = last.created_at + CHANNEL_WINDOW, "Equal ones are gathered for five minutes."
            rows = [_way(notice, channel.id, None, None, status=HELD, error=waits, due_at=due_at)]
        Bulk(Delivery.__table__, WAYS).insert(session.connection(), rows)
        wake(channel.id)


def _last_delivery(telling: _Telling, lane: str) -> Row[Any] | None:
    """Return the last delivery of equal notices within the channel's window."""
    if not telling.earlier:
        return None
    columns: tuple[Any, ...] = (Delivery.id, Delivery.status, Delivery.attempts, Delivery.count, Delivery.created_at)
    same = select(*columns).where(
        Delivery.notice_id.in_(telling.earlier), Delivery.lane == lane, Delivery.status.in_((SENT, HELD)),
        Delivery.created_at > now() - CHANNEL_WINDOW,
    )  # fmt: skip
    return db.session().execute(same.order_by(Delivery.created_at.desc(), Delivery.id.desc()).limit(1)).first()


def _changed(people: Sequence[str]) -> None:
    """Raise the revisions of people's notifications once the transaction has committed."""
    changes = runtime().changes
    topics = [topic_of(person) for person in people] if len(people) <= FEW else [EVERYONE]
    after_commit(lambda: changes.bump(*topics))
