"""Channels: made, changed, rotated, switched off; addresses and secrets are sealed. Inside the caller's unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import select, update

from pilothouse.sdk import (
    DAY,
    FieldError,
    Invalid,
    Place,
    audit,
    db,
    new_id,
    normalise_email,
    now,
    outgoing,
    runtime,
)  # fmt: skip
from pilothouse_notifications import categories, queries, signing
from pilothouse_notifications.models import FAILED, HELD, Channel, Delivery

KINDS = ("webhook", "email", "apprise")
NAME_CHARS = 100
URL_CHARS = 2_000
ROTATION = DAY  # for so long both secrets sign: receivers are changed one after the other
TABLE = "notification_channels"
# Apprise's services whose host is fixed: its generic ones (json://, mailto://, syslog://, exec ...) would reach anything.
SERVICES = frozenset({
    "slack", "discord", "tgram", "msteams", "gchat", "wxteams", "pagerduty", "opsgenie", "pover", "pbul", "signl4",
    "dingtalk", "feishu", "lark", "wecombot", "flock", "guilded", "revolt", "line", "twilio", "sendgrid", "ifttt",
})  # fmt: skip
POWER_AUTOMATE = (".logic.azure.com", ".powerplatform.com")  # where Teams' workflows live
HOSTED = {"workflow": POWER_AUTOMATE, "workflows": POWER_AUTOMATE}


def create(name: str, kind: str, url: str, chosen: Sequence[str], *, enabled: bool = True) -> tuple[Channel, str | None]:
    """Make a channel; return it and, for a webhook, the secret that is shown once. Raises Invalid, UrlNotAllowed."""
    if kind not in KINDS:
        raise Invalid.field("kind", f"must be one of {', '.join(KINDS)}")
    channel_id = new_id()
    secret = signing.new_secret() if kind == "webhook" else None
    channel = Channel(
        id=channel_id, name=_name(name), kind=kind, url=_shown(kind, url),
        target=_seal(channel_id, "target", _checked(kind, url)), categories=_categories(chosen),
        enabled=enabled, secret=secret and _seal(channel_id, "secret", secret),
        failures=0, created_at=now(),
    )  # fmt: skip
    db.session.add(channel)
    db.session.flush()
    audit("notifications.channel_added", f"channel:{channel_id}", detail={"name": channel.name, "kind": kind})
    return channel, secret


def change(channel_id: str, changes: dict[str, Any]) -> Channel:
    """Change name, url, categories or whether it is on. Raises NotFound, Invalid, UrlNotAllowed."""
    channel = queries.channel(channel_id)
    if "name" in changes:
        channel.name = _name(changes["name"])
    if "url" in changes:
        channel.target = _seal(channel_id, "target", _checked(channel.kind, changes["url"]))
        channel.url = _shown(channel.kind, changes["url"])
        channel.failures, channel.paused_until = 0, None
    if "categories" in changes:
        channel.categories = _categories(changes["categories"])
    if "enabled" in changes:
        channel.enabled, channel.off_reason = changes["enabled"], None
        channel.failures, channel.paused_until = 0, None
        if not channel.enabled:
            drop_held(channel_id, "The channel is switched off.")
    audit("notifications.channel_changed", f"channel:{channel_id}", detail={"fields": sorted(changes)})
    return channel


def rotate(channel_id: str) -> tuple[Channel, str]:
    """Give a webhook a new secret, shown once; the old one signs too for a day. Raises NotFound, Invalid."""
    channel = queries.channel(channel_id)
    if channel.secret is None:
        raise Invalid("Only webhooks have a secret.")
    old = runtime().keyring.unseal(channel.secret, _place(channel_id, "secret"))
    secret = signing.new_secret()
    channel.previous_secret = _seal(channel_id, "previous_secret", old)
    channel.previous_until = now() + ROTATION
    channel.secret = _seal(channel_id, "secret", secret)
    audit("notifications.channel_rotated", f"channel:{channel_id}")
    return channel, secret


def remove(channel_id: str) -> None:
    """Delete a channel; what it had still to send is given up. Raises NotFound."""
    channel = queries.channel(channel_id)
    drop_held(channel_id, "The channel was deleted.")
    audit("notifications.channel_removed", f"channel:{channel_id}", detail={"name": channel.name})
    db.session.delete(channel)
    db.session.flush()


def drop_held(lane: str, reason: str) -> None:
    """Give up what waits for a channel, so that it does not flood when the channel is on again."""
    held = update(Delivery).where(Delivery.lane == lane, Delivery.status == HELD)
    db.session.execute(held.values(status=FAILED, error=reason, due_at=None, at=now()))


def target_of(channel: Channel) -> str:
    """Return the address that a channel sends to."""
    return str(runtime().keyring.unseal(channel.target, _place(channel.id, "target")))


def secrets_of(channel: Channel) -> list[str]:
    """Return the secrets that a webhook is signed with, the newest first."""
    found = []
    if channel.secret is not None:
        found.append(runtime().keyring.unseal(channel.secret, _place(channel.id, "secret")))
    if channel.previous_secret is not None and (channel.previous_until or 0) > now():
        found.append(runtime().keyring.unseal(channel.previous_secret, _place(channel.id, "previous_secret")))
    return found


def rewrap_all() -> int:
    """Wrap the data keys of all addresses and secrets with the newest master key, in the open unit of work."""
    keyring, moved = runtime().keyring, 0
    for channel in db.session().scalars(select(Channel).with_for_update().execution_options(populate_existing=True)):
        for field in ("target", "secret", "previous_secret"):
            sealed = getattr(channel, field)
            if sealed and keyring.wrapped_by(sealed) != keyring.newest:
                setattr(channel, field, keyring.rewrap(sealed))
                moved += 1
    return moved


def _place(channel_id: str, field: str) -> Place:
    return Place(TABLE, channel_id, field)


def _seal(channel_id: str, field: str, secret: str) -> str:
    return str(runtime().keyring.seal(secret, _place(channel_id, field)))


def _name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise Invalid.field("name", f"must be 1 to {NAME_CHARS} printable characters")
    return name


def _checked(kind: str, url: str) -> str:
    if kind == "email":
        try:
            return normalise_email(url.removeprefix("mailto:"))
        except Invalid:
            raise Invalid.field("url", "must be an e-mail address") from None
    if kind == "webhook":
        outgoing.check_target(url)
        return url
    return _apprise(url)


def _apprise(url: str) -> str:
    """Check an address for Apprise: a known service at its own fixed host, never a host or program that it names."""
    if find_spec("apprise") is None:
        raise Invalid.field("kind", "needs the extra `channels`: pip install 'pilothouse[channels]'")
    scheme = url.partition("://")[0].lower()
    if not url.isprintable() or len(url) > URL_CHARS or "://" not in url:
        raise Invalid.field("url", "must be an address such as slack://token_a/token_b/token_c")
    if scheme in HOSTED:
        host = urlsplit(url).hostname or ""
        if not any(host.endswith(suffix) for suffix in HOSTED[scheme]):
            known = " or ".join(HOSTED[scheme])
            raise outgoing.UrlNotAllowed.of_field("url", f"{scheme}:// must lead to a host below {known}.")
    elif scheme not in SERVICES:
        known = ", ".join(sorted(SERVICES))
        raise outgoing.UrlNotAllowed.of_field("url", f"{scheme}:// may reach any host; use one of {known}, or a webhook.")
    import apprise

    if apprise.Apprise.instantiate(url, suppress_exceptions=True) is None:
        raise Invalid.field("url", "is not complete; Apprise's list of services shows how it is written")
    return url


def _shown(kind: str, url: str) -> str:
    """Return what people see of an address: Apprise's hold tokens."""
    return f"{url.partition('://')[0]}://…" if kind == "apprise" else url


def _categories(chosen: Sequence[str]) -> str:
    known = {*categories.groups(), *(category.name for category in categories.every())}
    wrong = [name for name in chosen if name not in known]
    if wrong:
        raise Invalid(f"categories: {', '.join(wrong)}: no such category", [FieldError("categories", "holds no category")])
    return msgspec.json.encode(list(dict.fromkeys(chosen))).decode()
