"""Reading keys: lists, one key, the newest usable one of a service, usage from the roll-ups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select, text, tuple_

from pilothouse.sdk import NotFound, Period, Sum, db, declared, now, read_totals
from pilothouse_keys.models import ProviderKey

# Measures with a dimension `key` that some plugin may declare; where none does, nothing was used as far as we know.
USAGE = {"prompt_tokens": "token_callers.prompt", "completion_tokens": "token_callers.completion"}
COST = "token_callers.cost_usd"
_USABLE = """
SELECT id, version, sealed, base_url, CASE WHEN previous_until > :now THEN previous END FROM provider_keys
WHERE service = :service AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now){named}
ORDER BY created_at DESC, id DESC
"""


class UsableKey(NamedTuple):
    """What it takes to open a key."""

    id: str
    version: int
    sealed: str
    base_url: str | None
    previous: str | None  # sealed, and only while it stays usable after a rotation


def page(limit: int, after: tuple[int, str] | None = None, *, service: str | None = None) -> list[ProviderKey]:
    """Return up to `limit + 1` keys, newest first, after the cursor."""
    statement = select(ProviderKey).order_by(ProviderKey.created_at.desc(), ProviderKey.id.desc()).limit(limit + 1)
    if service is not None:
        statement = statement.where(ProviderKey.service == service)
    if after is not None:
        statement = statement.where(tuple_(ProviderKey.created_at, ProviderKey.id) < after)
    return list(db.session().scalars(statement))


def count() -> int:
    """Return how many keys are kept, revoked and expired ones among them."""
    return db.session().scalar(select(func.count()).select_from(ProviderKey)) or 0


def get(key_id: str, *, lock: bool = False) -> ProviderKey:
    """Return one key, with `lock` as it is now and kept from other writers until the commit. Raises NotFound.

    Secrets are read, sealed and written back: two writers at once would leave one that is bound to another version.
    """
    key = db.session().get(ProviderKey, key_id, populate_existing=lock, with_for_update=True if lock else None)
    if key is None:
        raise NotFound(f"There is no key {key_id}.")
    return key


def usable(service: str, label: str | None = None) -> Sequence[UsableKey]:
    """Return the keys of a service that may be used now, the newest first; by id or name where one is asked for.

    Asked before every call of the gateway: written as SQL it takes a sixth of what objects would.
    """
    named = " AND (id = :label OR name = :label)" if label is not None else ""
    rows = db.session().execute(text(_USABLE.format(named=named)), {"service": service, "now": now(), "label": label})
    return [UsableKey(*row) for row in rows]


def usage(key_id: str, period: Period) -> dict[str, int]:
    """Return what was used with a key in a period: calls, tokens and nano-dollars, from whichever measures know keys."""
    found = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost_nano": 0}
    for name, measure in USAGE.items():
        entry = _of_key(measure, key_id, period)
        found[name] = entry.total
        found["calls"] = max(found["calls"], entry.count)
    found["cost_nano"] = _of_key(COST, key_id, period).total
    return found


def _of_key(measure: str, key_id: str, period: Period) -> Sum:
    known = declared(measure)
    if known is None or "key" not in known.dimensions:
        return Sum()
    found = read_totals(measure, period.since, period.until, by=("key",), where={"key": key_id})
    return next(iter(found.values()), Sum())
