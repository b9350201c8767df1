"""Sending one notice to one channel: webhook, mail, or a service by Apprise. Answers say what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from pilothouse.sdk import (
    MailRefusedError,
    NotReached,
    PilothouseError,
    UrlNotAllowed,
    new_id,
    now,
    outgoing,
    send_mail,
    to_rfc3339,
)
from pilothouse_notifications import channels, mails, signing
from pilothouse_notifications.mails import Told
from pilothouse_notifications.models import Channel

GONE = 410  # the receiver wants nothing more: Standard Webhooks, section on delivery
SHOWN_CHARS = 200  # of the receiver's words


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: `sent`, `again` (worth another try), `failed` (no try would help) or `gone` (switch the channel off)."""

    result: Literal["sent", "again", "failed", "gone"]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `message_id` stays the same over all tries, `payload` is the event as JSON."""

    message_id: str
    told: Told
    type: str
    payload: str
    at: int


def send(channel: Channel, message: Message) -> Outcome:
    """Send a message; never raises for what the other side does."""
    try:
        if channel.kind == "webhook":
            return _post(channel, message)
        if channel.kind == "email":
            send_mail(mails.compose(channels.target_of(channel), [message.told]))
            return Outcome("sent")
        return _by_apprise(channel, message)
    except UrlNotAllowed as fault:
        return Outcome("failed", fault.detail)
    except (NotReached, MailRefusedError) as fault:
        return Outcome("again", fault.detail)
    except PilothouseError as fault:
        return Outcome("failed", fault.detail)


def body_of(message: Message) -> bytes:
    """Write a webhook's body: `type`, `timestamp` and `data`, the notice and the event behind it."""
    told = message.told
    data = {
        "category": told.kind, "title": told.title, "message": told.message, "level": message.type, "count": told.count,
        "action_url": told.url, "event": msgspec.Raw(message.payload.encode()),
    }  # fmt: skip
    return msgspec.json.encode({"type": told.category, "timestamp": to_rfc3339(message.at), "data": data})


def _post(channel: Channel, message: Message) -> Outcome:
    body = body_of(message)
    signed = signing.headers(message.message_id, now() // 1000, body, channels.secrets_of(channel))
    headers = {"Content-Type": "application/json", "User-Agent": "Pilothouse-Webhooks/1", **signed}
    answer = outgoing.post(channels.target_of(channel), body, headers)
    if 200 <= answer.status < 300:  # noqa: PLR2004 - any 2xx is a yes
        return Outcome("sent")
    words = f"It answered {answer.status}. {answer.text[:SHOWN_CHARS]}".strip()
    return Outcome("gone" if answer.status == GONE else "again", words)


def _by_apprise(channel: Channel, message: Message) -> Outcome:
    import apprise

    told = message.told
    kinds = {"error": "failure", "warning": "warning", "success": "success"}
    sender = apprise.Apprise()
    sender.add(channels.target_of(channel))
    text = "\n".join(part for part in (told.message, told.url) if part)
    if sender.notify(body=text or told.heading, title=told.heading, notify_type=kinds.get(message.type, "info")):
        return Outcome("sent")
    return Outcome("again", "The service did not take it.")


def test_message(name: str) -> Message:
    """Return a message that tries a channel out."""
    title = f"A test from Pilothouse to {name}"
    told = Told(title, "This channel works.", "notifications.test", "system", 1, "/notifications/", "Open")
    return Message(new_id(), told, "info", "null", now())
