"""Letting deliveries out: claimed before their effect, tried again with back-off, held back by a breaker for each receiver.

Webhooks go at least once with a constant id: a claim is a lease, and what died under it is tried again. Mails go at most
once: a claim says "nobody knows" until the server has answered.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select, update

from pilothouse.sdk import (
    HOUR,
    MINUTE,
    SECOND,
    Conflict,
    MailRefusedError,
    NotFound,
    PilothouseError,
    User,
    audit,
    db,
    now,
    send_mail,
    unit_of_work,
)  # fmt: skip
from pilothouse_notifications import categories, channels, mails, preferences, queries, sending
from pilothouse_notifications.mails import Told
from pilothouse_notifications.models import FAILED, HELD, MUTED, SENT, Channel, Delivery, StoredNotice
from pilothouse_notifications.sending import Message, Outcome
from pilothouse_notifications.waking import IN_APP, MAIL, wake

BUDGET_S = 20.0  # a lane's job gives way after so long; its task is ended after 60
LEASE = 45 * SECOND  # longer than connecting and reading may take
# Ten tries over three days: at once, then after these pauses.
PAUSES = (5 * SECOND, 30 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 22 * HOUR, 32 * HOUR)
TRIES = len(PAUSES) + 1
BREAKS_AFTER = 5  # failures of a receiver in a row; then one try a pause shows whether it is back
BREAK = MINUTE
LONGEST_BREAK = HOUR
MAILED = 200  # deliveries that one look takes: what is due for one person goes as one mail
UNKNOWN = "Nobody knows whether the mail left: the worker ended, or the connection broke, before the server's answer."

COLUMNS: tuple[Any, ...] = (
    Delivery.id, Delivery.notice_id, Delivery.user_id, Delivery.lane, Delivery.count, Delivery.attempts, Delivery.due_at,
    Delivery.created_at, StoredNotice.category, StoredNotice.kind, StoredNotice.type, StoredNotice.title,
    StoredNotice.message, StoredNotice.action_url, StoredNotice.action_label, StoredNotice.payload,
)  # fmt: skip


def deliver(lane: str) -> None:
    """Let out what is due in a lane: members' mails, or one channel's messages. Opens its own units of work."""
    until = time.monotonic() + BUDGET_S
    step = _mail_some if lane == MAIL else lambda: _send_one(lane)
    while step():
        if time.monotonic() > until:
            return  # the sweep comes back for the rest


def wake_due() -> None:
    """Wake every lane that has something due: tries that come again, ends of quiet hours, digests, lost wake-ups."""
    due = select(Delivery.lane).where(Delivery.due_at <= now(), Delivery.status == HELD).distinct()
    with unit_of_work() as session:
        for lane in session.scalars(due):
            wake(lane)


def replay(delivery_id: str) -> Row[Any]:
    """Let a delivery that failed go out again, with fresh tries. Raises NotFound, Conflict for one that did not fail."""
    delivery = db.session().get(Delivery, delivery_id, with_for_update=True)
    if delivery is None:
        raise NotFound("There is no such delivery.")
    if delivery.status != FAILED or delivery.lane == IN_APP:
        raise Conflict(f"Only a failed delivery can be tried again; this one is {delivery.status}.")
    delivery.status, delivery.attempts, delivery.due_at, delivery.error = HELD, 0, now(), None
    audit("notifications.delivery_replayed", f"delivery:{delivery_id}")
    db.session().flush()
    wake(delivery.lane)
    return queries.delivery(delivery_id)


def _due(lane: str, limit: int) -> list[Row[Any]]:
    due = select(*COLUMNS).join(StoredNotice, StoredNotice.id == Delivery.notice_id)
    due = due.where(Delivery.lane == lane, Delivery.due_at <= now(), Delivery.status == HELD)
    ordered = due.order_by(Delivery.due_at, Delivery.id).limit(limit).with_for_update(of=Delivery, skip_locked=True)
    return list(db.session().execute(ordered))


# ---- channels


def _send_one(lane: str) -> bool:
    """Claim and send a channel's next message; say whether there was one."""
    with unit_of_work() as session:
        channel = session.get(Channel, lane, populate_existing=True)
        if channel is None or not channel.enabled:
            channels.drop_held(lane, "The channel is switched off." if channel else "The channel was deleted.")
            return False
        if (channel.paused_until or 0) > now():
            _put_off(lane, channel.paused_until or 0)
            return False
        rows = _due(lane, 1)
        if not rows:
            return False
        row = rows[0]
        claim = update(Delivery).where(Delivery.id == row.id)
        session.execute(claim.values(attempts=row.attempts + 1, due_at=now() + LEASE, at=now()))
        session.expunge(channel)
    outcome = sending.send(channel, _message(row))
    with unit_of_work():
        _settle(row, outcome)
    return True


def _put_off(lane: str, until: int) -> None:
    waiting = update(Delivery).where(Delivery.lane == lane, Delivery.status == HELD, Delivery.due_at < until)
    db.session().execute(waiting.values(due_at=until, error="The receiver failed several times in a row and is left alone."))


def _message(row: Row[Any]) -> Message:
    return Message(row.id, _told(row), row.type, row.payload, row.created_at)


def _told(row: Any) -> Told:
    return Told(row.title, row.message, row.category, row.kind, row.count, row.action_url, row.action_label)


def _settle(row: Row[Any], outcome: Outcome) -> None:
    session = db.session()
    channel = session.get(Channel, row.lane, populate_existing=True)
    attempts, at = row.attempts + 1, now()
    values: dict[str, Any] = {"status": FAILED, "error": outcome.error, "due_at": None, "at": at}
    if outcome.result == "sent":
        values |= {"status": SENT}
    elif outcome.result == "again" and attempts < TRIES:
        values |= {"status": HELD, "due_at": at + PAUSES[attempts - 1]}
    session.execute(update(Delivery).where(Delivery.id == row.id).values(**values))
    if channel is None:
        return
    if outcome.result == "sent":
        channel.failures, channel.paused_until = 0, None
    elif outcome.result == "again":
        channel.failures += 1
        if channel.failures >= BREAKS_AFTER:
            channel.paused_until = at + min(BREAK * 2 ** (channel.failures - BREAKS_AFTER), LONGEST_BREAK)
    elif outcome.result == "gone":
        channel.enabled, channel.off_reason = False, "It answered 410 Gone: it wants nothing more."
        channels.drop_held(row.lane, channel.off_reason)


# ---- members' mails


def _mail_some() -> bool:
    """Claim what is due for one person and send it as one mail; say whether there was any."""
    with unit_of_work() as session:
        first = _due(MAIL, 1)
        if not first:
            return False
        person = first[0].user_id
        mine = (
            select(*COLUMNS)
            .join(StoredNotice, StoredNotice.id == Delivery.notice_id)
            .where(Delivery.lane == MAIL, Delivery.user_id == person, Delivery.due_at <= now(), Delivery.status == HELD)
        )
        mine = mine.order_by(Delivery.id).limit(MAILED).with_for_update(of=Delivery, skip_locked=True)
        rows = list(session.execute(mine))
        user = session.get(User, person)
        rows = _still_wanted(person, rows) if user is not None and user.status == "active" else _drop(rows, "They left.")
        ids = [row.id for row in rows]
        claim = update(Delivery).where(Delivery.id.in_(ids))
        values = {"status": FAILED, "error": UNKNOWN, "due_at": None, "at": now(), "attempts": Delivery.attempts + 1}
        session.execute(claim.values(values), execution_options={"synchronize_session": False})
        address = user.email if user is not None else ""
    if rows:
        _mail(person, address, rows)
    return True


def _still_wanted(person: str, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Leave out what the person switched off since it was held."""
    choices = preferences.of_person(person)
    wanted: list[Row[Any]] = []
    muted: list[Row[Any]] = []
    for row in rows:
        category = categories.find(row.category)
        (wanted if category is None or choices.wants(category, "email") else muted).append(row)
    _drop(muted, "Switched off in their preferences.")
    return wanted


def _drop(rows: Sequence[Row[Any]], reason: str) -> list[Row[Any]]:
    ids = [row.id for row in rows]
    muted = update(Delivery).where(Delivery.id.in_(ids))
    db.session().execute(
        muted.values(status=MUTED, error=reason, due_at=None, at=now()), execution_options={"synchronize_session": False}
    )
    return []


def _mail(person: str, address: str, rows: Sequence[Row[Any]]) -> None:
    try:
        send_mail(mails.compose(address, [_told(row) for row in rows], person))
    except MailRefusedError as fault:  # surely not sent: another try is safe
        _settle_mails(rows, fault.detail, again=True)
    except PilothouseError as fault:
        _settle_mails(rows, fault.detail, again=False)
    else:
        _settle_mails(rows, None, again=False)


def _settle_mails(rows: Sequence[Row[Any]], error: str | None, *, again: bool) -> None:
    with unit_of_work() as session:
        for row in rows:
            attempts = row.attempts + 1
            retry = again and attempts < TRIES
            status = SENT if error is None else HELD if retry else FAILED
            due_at = now() + PAUSES[attempts - 1] if retry else None
            one = update(Delivery).where(Delivery.id == row.id)
            session.execute(one.values(status=status, error=error, due_at=due_at, at=now()))
