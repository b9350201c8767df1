"""The HTTP endpoints of provider keys and access tokens. No answer ever carries a provider's secret."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from flask import request

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    PUBLIC,
    ApiBlueprint,
    Deadline,
    Limit,
    Moment,
    Page,
    now,
    page_of,
    proving,
    read_cursor,
    read_period,
    require,
    to_rfc3339,
    to_usd,
    unit_of_work,
)
from pilothouse.sdk import access_tokens as tokens
from pilothouse_keys import limits, queries, service
from pilothouse_keys.models import ProviderKey

VIEW, MANAGE, TOKENS = "keys.provider.view", "keys.provider.manage", "keys.tokens.manage"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Secret = Annotated[str, msgspec.Meta(min_length=8, max_length=4096)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class ListQuery(msgspec.Struct, frozen=True):
    """Filters of the list."""

    service: Literal["anthropic", "openai", "custom"] | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class TokensQuery(msgspec.Struct, frozen=True):
    """Which page of the tokens."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class PeriodQuery(msgspec.Struct, frozen=True):
    """The period, 30 days if left out."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be kept; `secret` is never shown again."""

    name: Name
    service: Literal["anthropic", "openai", "custom"]
    secret: Secret
    base_url: Url | None = None
    expires_at: Deadline | None = None


class KeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. A new `base_url` needs `secret` again. `status` takes `revoked` only."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    base_url: Url | msgspec.UnsetType | None = msgspec.UNSET
    expires_at: Deadline | msgspec.UnsetType | None = msgspec.UNSET
    status: Literal["revoked"] | msgspec.UnsetType = msgspec.UNSET
    secret: Secret | None = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new secret; the old one stays usable for `grace_seconds`, 72 hours at most."""

    secret: Secret
    grace_seconds: Annotated[int, msgspec.Meta(ge=0, le=259_200)] = 0


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A provider key, without its secret."""

    id: str
    user_id: str | None
    name: str
    service: str
    base_url: str | None
    last4: str
    fingerprint: str
    usage_count: int
    last_used_at: str | None
    status: str
    expires_at: str | None
    rotated_at: str | None
    created_at: str


class Verdict(msgspec.Struct, frozen=True):
    """Whether the provider takes the key; null where it could not be asked."""

    valid: bool | None
    detail: str


class Usage(msgspec.Struct, frozen=True):
    """What was used with a key."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: str


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made."""

    name: Name
    scopes: list[str]
    expires_at: Deadline | None = None


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An access token; `token` is there only in the answer that makes it."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    role: str
    last_used_at: str | None
    expires_at: str | None
    created_by: str
    created_at: str
    token: str | None = None


class Leak(msgspec.Struct, frozen=True):
    """A token that somebody found in the open."""

    token: Annotated[str, msgspec.Meta(max_length=500)]


class Accepted(msgspec.Struct, frozen=True):
    """The report was taken; whether the token worked is not told."""

    accepted: bool = True


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("keys", title="Keys and tokens")
    bp.get("/keys", permission=VIEW)(list_keys)
    bp.post("/keys", permission=MANAGE, status=201)(create_key)
    bp.get("/keys/<key_id>", permission=VIEW)(show_key)
    bp.patch("/keys/<key_id>", permission=MANAGE)(change_key)
    bp.delete("/keys/<key_id>", permission=MANAGE)(delete_key)
    bp.post("/keys/<key_id>/rotate", permission=MANAGE)(rotate_key)
    bp.post("/keys/<key_id>/validate", permission=MANAGE, transaction=False)(validate_key)
    bp.get("/keys/<key_id>/usage", permission=VIEW)(key_usage)
    bp.get("/access-tokens", permission=TOKENS)(list_tokens)
    bp.post("/access-tokens", permission=TOKENS, status=201)(create_token)
    bp.delete("/access-tokens/<token_id>", permission=TOKENS)(revoke_token)
    bp.post("/access-tokens/revoke-leaked", permission=PUBLIC, status=202)(revoke_leaked)
    return bp


def list_keys(query: ListQuery) -> Page[KeyRecord]:
    """List the provider keys, newest first; never their secrets."""
    after = read_cursor(query.cursor) if query.cursor else None
    found = queries.page(query.limit, after, service=query.service)
    rows, cursor = page_of(found, query.limit, lambda key: (key.created_at, key.id))
    return Page([record(key) for key in rows], cursor)


def create_key(body: NewKey) -> KeyRecord:
    """Add a provider key. Its secret is sealed and never shown again."""
    proving.require_proof()
    key = service.add(body.name, body.service, body.secret, require(MANAGE), base_url=body.base_url, expires_at=body.expires_at)
    return record(key)


def show_key(key_id: str) -> KeyRecord:
    """Show one provider key without its secret; 404 where there is none. Revoked and expired ones are shown, too."""
    return record(queries.get(key_id))


def change_key(key_id: str, body: KeyChange) -> KeyRecord:
    """Change name, expiry or destination, or revoke the key. A new destination needs the secret again."""
    principal = require(MANAGE)
    proving.require_proof()
    fields = {"name": body.name, "base_url": body.base_url, "expires_at": body.expires_at}
    changes: dict[str, Any] = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    key = service.change(key_id, changes, principal, body.secret) if changes else queries.get(key_id)
    return record(service.revoke(key_id, principal) if body.status == "revoked" else key)


def delete_key(key_id: str) -> None:
    """Delete a key; its secret is shredded."""
    proving.require_proof()
    service.delete(key_id, require(MANAGE))


def rotate_key(key_id: str, body: Rotation) -> KeyRecord:
    """Give the key a new secret; its id stays."""
    proving.require_proof()
    return record(service.rotate(key_id, body.secret, body.grace_seconds, require(MANAGE)))


def validate_key(key_id: str) -> Verdict:
    """Ask the provider whether the key works. Makes one call and costs nothing."""
    return Verdict(*service.check(key_id))


def key_usage(key_id: str, query: PeriodQuery) -> Usage:
    """Tell what was used with the key in a period."""
    queries.get(key_id)
    used = queries.usage(key_id, read_period(query.range, query.since, query.until, default="30d"))
    total = used["prompt_tokens"] + used["completion_tokens"]
    return Usage(used["calls"], used["prompt_tokens"], used["completion_tokens"], total, to_usd(used["cost_nano"]))


def list_tokens(query: TokensQuery) -> Page[TokenRecord]:
    """List the access tokens that may still be used, newest first."""
    found = tokens.tokens(limit=query.limit + 1, after=read_cursor(query.cursor) if query.cursor else None)
    rows, cursor = page_of(found, query.limit, lambda row: (row.created_at, row.id))
    return Page([token_record(row) for row in rows], cursor)


def create_token(body: NewToken) -> TokenRecord:
    """Make an access token; this answer is the only one that shows it. It never has more than its maker."""
    proving.require_proof()
    row, token = tokens.create_token(body.name, body.scopes, maker=require(TOKENS), expires_at=body.expires_at)
    return msgspec.structs.replace(token_record(row), token=token)


def revoke_token(token_id: str) -> None:
    """Revoke an access token; it is refused from the next request on."""
    tokens.revoke_token(token_id, by=require(TOKENS))


def revoke_leaked(body: Leak) -> Accepted:
    """Report a token that was found in the open. It is revoked if it worked; the answer is the same if not."""
    limits.hit_leak(request.remote_addr or "")
    with unit_of_work():
        tokens.revoke_leaked(body.token)
    return Accepted()


def record(key: ProviderKey) -> KeyRecord:
    """Return what may be shown of a key."""
    return KeyRecord(
        id=key.id, user_id=key.user_id, name=key.name, service=key.service, base_url=key.base_url, last4=key.last4,
        fingerprint=key.fingerprint, usage_count=key.usage_count, last_used_at=_time(key.last_used_at),
        status=key.status(now()), expires_at=_time(key.expires_at),
        rotated_at=_time(key.rotated_at), created_at=to_rfc3339(key.created_at),
    )  # fmt: skip


def token_record(row: Any) -> TokenRecord:
    """Return what may be shown of an access token."""
    return TokenRecord(
        id=row.id, name=row.name, prefix=row.prefix, scopes=row.scopes.split(), role=row.role,
        last_used_at=_time(row.last_used_at), expires_at=_time(row.expires_at), created_by=row.created_by,
        created_at=to_rfc3339(row.created_at),
    )  # fmt: skip


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)
