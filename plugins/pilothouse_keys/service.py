"""Acting on keys: add, rotate, revoke, delete, check, open for one use; inside the caller's unit of work.

A secret is in the database only sealed, bound to its row and version; it leaves this module through `open_newest` alone,
for one call. Names, last four characters and a fingerprint are what people see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pilothouse.sdk import (
    DAY,
    HOUR,
    Conflict,
    Credential,
    FieldError,
    Invalid,
    NotReached,
    Place,
    Principal,
    UrlNotAllowed,
    after_commit,
    audit,
    check_target,
    db,
    new_id,
    now,
    outgoing,
    publish,
    runtime,
    unit_of_work,
)
from pilothouse_keys import queries
from pilothouse_keys.events import Added, Expiring, Revoked, Rotated
from pilothouse_keys.models import ProviderKey

TABLE, FIELD, TOPIC = "provider_keys", "sealed", "keys"
SERVICES = ("anthropic", "openai", "custom")
BASES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com"}
LONGEST_GRACE = 72 * HOUR
SHORTEST_SECRET = 8  # characters; of a shorter one the last four would give half away
NOTICES = (7, 3, 1)  # days before expiry on which people are told
ANTHROPIC_VERSION = "2023-06-01"
REFUSED = frozenset({401, 403})
OK_FROM, OK_BELOW = 200, 300


def add(
    name: str, service: str, secret: str, principal: Principal, *, base_url: str | None = None, expires_at: int | None = None
) -> ProviderKey:
    """Seal and keep a key. Raises Invalid for wrong fields, VaultSealed without a master key."""
    _check_secret(secret)
    _check_expiry(expires_at)
    _check_base(service, base_url)
    key = ProviderKey(
        id=new_id(), user_id=principal.user_id, name=name, service=service, base_url=_trimmed(base_url), version=1, sealed="",
        previous=None, previous_until=None, last4=secret[-4:], fingerprint=_fingerprint(secret), usage_count=0,
        last_used_at=None, expires_at=expires_at, told_days=None, revoked_at=None, rotated_at=None, created_at=now(),
    )  # fmt: skip
    key.sealed = runtime().keyring.seal(secret, _place(key))
    db.session().add(key)
    audit("key.added", f"key:{key.id}", detail={"name": name, "service": service})
    publish(Added(**_facts(key, principal)))
    _changed()
    return key


def change(key_id: str, changes: Mapping[str, Any], principal: Principal, secret: str | None = None) -> ProviderKey:
    """Change name, expiry or destination; a new destination asks for the secret again, lest it be sent to a stranger.

    Raises NotFound, or Invalid with the code `secret_required`.
    """
    key = queries.get(key_id, lock=True)
    if "base_url" in changes and _trimmed(changes["base_url"]) != key.base_url:
        if secret is None or _fingerprint(secret) != key.fingerprint:
            wrong = FieldError("secret", "is asked for again where base_url changes")
            raise Invalid(f"{wrong.path}: {wrong.message}", [wrong], code="secret_required")
        _check_base(key.service, changes["base_url"])
        key.base_url = _trimmed(changes["base_url"])
        key.previous, key.previous_until = None, None  # nobody showed that they know the old secret
    if "name" in changes:
        key.name = changes["name"]
    if "expires_at" in changes:
        _check_expiry(changes["expires_at"])
        key.expires_at, key.told_days = changes["expires_at"], None
    audit("key.changed", f"key:{key_id}", detail={"fields": sorted(changes)}, principal=principal)
    _changed()
    return key


def rotate(key_id: str, secret: str, grace_s: int, principal: Principal) -> ProviderKey:
    """Give a key a new secret under its old id; the old one stays usable for `grace_s` seconds, 72 h at most."""
    key = queries.get(key_id, lock=True)
    _check_secret(secret)
    if key.revoked_at is not None:
        raise Conflict("The key is revoked; add a new one.")
    at = now()
    if grace_s:
        key.previous, key.previous_until = key.sealed, at + min(grace_s * 1000, LONGEST_GRACE)
    else:
        key.previous, key.previous_until = None, None
    key.version += 1
    key.sealed = runtime().keyring.seal(secret, _place(key))
    key.last4, key.fingerprint, key.rotated_at = secret[-4:], _fingerprint(secret), at
    audit("key.rotated", f"key:{key_id}", detail={"version": key.version, "grace_s": grace_s})
    publish(Rotated(**_facts(key, principal)))
    _changed()
    return key


def revoke(key_id: str, principal: Principal) -> ProviderKey:
    """End a key for good; its secret is shredded, its row and usage stay."""
    key = queries.get(key_id, lock=True)
    if key.revoked_at is None:
        key.revoked_at, key.previous, key.previous_until, key.sealed = now(), None, None, ""
        audit("key.revoked", f"key:{key_id}")
        publish(Revoked(**_facts(key, principal)))
        _changed()
    return key


def delete(key_id: str, principal: Principal) -> None:
    """Delete a key with its secret. Raises NotFound."""
    key = queries.get(key_id, lock=True)
    if key.revoked_at is None:
        publish(Revoked(**_facts(key, principal)))
    db.session().delete(key)
    audit("key.deleted", f"key:{key_id}", detail={"name": key.name})
    _changed()


def open_newest(service: str, label: str | None, passed_over: frozenset[str] = frozenset()) -> Credential | None:
    """Open the newest usable key of a service for one call, or the one that `label` names; None where there is none.

    A key that was rotated and whose new secret is refused is offered with its old one, while that is to stay usable.
    """
    keyring = runtime().keyring
    for key in queries.usable(service, label):
        if key.id not in passed_over:
            return Credential(key.id, keyring.unseal(key.sealed, _place(key)), key.base_url)
        before = f"{key.id}:{key.version - 1}"
        if key.previous is not None and before not in passed_over:
            secret = keyring.unseal(key.previous, Place(TABLE, key.id, FIELD, key.version - 1))
            return Credential(key.id, secret, key.base_url, before)
    return None


def check(key_id: str) -> tuple[bool | None, str]:
    """Ask the provider whether a key works: (True, False or None for unreachable, a sentence)."""
    key = queries.get(key_id)
    if key.status(now()) != "active":
        return False, f"The key is {key.status(now())}."
    secret = runtime().keyring.unseal(key.sealed, _place(key))
    base = (key.base_url or BASES[key.service]).removesuffix("/v1")
    headers = {"Authorization": f"Bearer {secret}"}
    if key.service == "anthropic":
        headers = {"x-api-key": secret, "anthropic-version": ANTHROPIC_VERSION}
    try:
        answer = outgoing.get(f"{base}/v1/models", headers)
    except (NotReached, UrlNotAllowed) as fault:
        return None, fault.detail
    if answer.status in REFUSED:
        return False, f"The provider refuses it (status {answer.status})."
    if OK_FROM <= answer.status < OK_BELOW:
        return True, "The provider accepts it."
    return None, f"The provider answers with status {answer.status}, which tells nothing about the key."


def tell_expiring() -> int:
    """Publish a notice for each key that expires in 7, 3 or 1 days, once each; forget grace secrets that ran out."""
    at, told = now(), 0
    session = db.session()
    soon = ProviderKey.expires_at.between(at, at + NOTICES[0] * DAY)
    for key in session.scalars(select(ProviderKey).where(soon, ProviderKey.revoked_at.is_(None))):
        left = -(-((key.expires_at or at) - at) // DAY)
        due = min((days for days in NOTICES if left <= days), default=None)
        if due is not None and (key.told_days is None or due < key.told_days):
            key.told_days, told = due, told + 1
            publish(Expiring(key_id=key.id, key_name=key.name, service=key.service, days=left))
    for key in session.scalars(select(ProviderKey).where(ProviderKey.previous_until < at)):
        key.previous, key.previous_until = None, None
    return told


def rewrap_all() -> int:
    """Wrap every data key with the newest master key, in small transactions: may be killed at any moment.

    Returns how many ciphertexts moved. The secrets themselves are not opened.
    """
    keyring = runtime().keyring
    moved, after = 0, ""
    while True:
        with unit_of_work() as session:
            some = select(ProviderKey).where(ProviderKey.id > after).order_by(ProviderKey.id).limit(1000)
            rows = session.scalars(some.with_for_update().execution_options(populate_existing=True)).all()
            for key in rows:
                for field in ("sealed", "previous"):
                    ciphertext = getattr(key, field)
                    if ciphertext and keyring.wrapped_by(ciphertext) != keyring.newest:
                        setattr(key, field, keyring.rewrap(ciphertext))
                        moved += 1
        if not rows:
            return moved
        after = rows[-1].id


def _place(key: ProviderKey | queries.UsableKey) -> Place:
    return Place(TABLE, key.id, FIELD, key.version)


def _fingerprint(secret: str) -> str:
    """Return what people compare two secrets by: the start of a hash, salted by the application's own key."""
    return hashlib.blake2b(secret.encode(), key=runtime().settings.secret_key.encode()[:64], digest_size=8).hexdigest()


def _check_secret(secret: str) -> None:
    if len(secret) < SHORTEST_SECRET or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise Invalid.field("secret", f"must be at least {SHORTEST_SECRET} printable ASCII characters without spaces")


def _check_base(service: str, base_url: str | None) -> None:
    if base_url is not None:
        check_target(base_url, "base_url")
    elif service == "custom":
        raise Invalid.field("base_url", "is required for a custom service")


def _check_expiry(expires_at: int | None) -> None:
    if expires_at is not None and expires_at <= now():
        raise Invalid.field("expires_at", "must lie in the future")


def _trimmed(base_url: str | None) -> str | None:
    return base_url.rstrip("/") if base_url else None


def _facts(key: ProviderKey, principal: Principal) -> dict[str, Any]:
    return {"key_id": key.id, "key_name": key.name, "service": key.service, "actor": principal.called}


def _changed() -> None:
    after_commit(lambda: runtime().changes.bump(TOPIC))
