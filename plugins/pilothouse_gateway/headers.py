"""Headers on their way through: what belongs to one connection, says who calls or where from stays behind."""

from __future__ import annotations

import re
from collections.abc import Iterable

Header = tuple[str, str]

TOKEN_HEADERS = ("Authorization", "X-Api-Key", "Api-Key")  # where SDKs put their key, the likeliest first
_CONNECTION = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "trailers",
    "transfer-encoding", "upgrade",
})  # fmt: skip
# Of requests: what is written anew, what says who or where the caller is, what only browsers and proxies send
_NOT_UP = _CONNECTION | {
    "host", "content-length", "content-encoding", "accept-encoding", "expect", "authorization", "x-api-key", "api-key",
    "cookie", "origin", "referer", "forwarded", "via", "x-real-ip", "true-client-ip", "x-client-ip", "x-csrf-token",
    "x-request-id", "range", "if-none-match", "if-modified-since",
}  # fmt: skip
_NOT_UP_STARTS = ("x-pilothouse-", "x-forwarded-", "cf-", "sec-", "x-amzn-", "x-envoy-", "x-ph-")
# Of answers: what would set something at the caller in the provider's name, or tells whose account it is
_NOT_DOWN = _CONNECTION | {
    "content-length", "set-cookie", "set-cookie2", "server", "via", "date", "alt-svc", "location", "refresh",
    "www-authenticate", "strict-transport-security", "content-security-policy", "x-frame-options", "x-content-type-options",
    "clear-site-data",
    "nel", "report-to", "reporting-endpoints", "expect-ct", "x-powered-by", "openai-organization", "openai-project",
    "anthropic-organization-id", "x-pilothouse-request-id", "permissions-policy", "referrer-policy",
    "cross-origin-opener-policy", "cross-origin-resource-policy", "cross-origin-embedder-policy",
}  # fmt: skip
_NOT_DOWN_STARTS = ("cf-", "access-control-", "x-amz-", "x-envoy-")
_OUR_TOKEN = re.compile(r"ph_[a-z]+_[A-Za-z0-9]{24,}")
REQUEST_IDS = ("x-request-id", "request-id")
LONGEST_ID = 200
MASK = "[scrubbed]"  # in place of a key that a provider repeats


def for_upstream(headers: Iterable[Header], service: str, secret: str) -> list[Header]:
    """Return the headers that go to a provider, with its key where the caller's stood."""
    found = list(headers)
    named = {name.strip().lower() for header, value in found if header.lower() == "connection" for name in value.split(",")}
    kept = [(name, value) for name, value in found if _goes_up(name.lower(), value, named)]
    given = {name.lower() for name, _ in found}
    bare = service == "anthropic" and ("x-api-key" in given or "authorization" not in given)
    key = ("x-api-key", secret) if bare else ("Authorization", f"Bearer {secret}")
    return [*kept, key, ("Accept-Encoding", "identity")]  # compressed, its usage could not be read as it comes


def for_caller(headers: Iterable[Header], secret: str) -> list[Header]:
    """Return the headers of an answer that the caller gets; a header that repeats the key stays behind."""
    found = list(headers)
    named = {name.strip().lower() for header, value in found if header.lower() == "connection" for name in value.split(",")}
    return [
        (name, value)
        for name, value in found
        if (low := name.lower()) not in _NOT_DOWN | named and not low.startswith(_NOT_DOWN_STARTS) and secret not in value
    ]


def request_id_of(headers: Iterable[Header]) -> str | None:
    """Return the id by which the provider's support finds the call."""
    found = {name.lower(): value for name, value in headers}
    return next((found[name][:LONGEST_ID] for name in REQUEST_IDS if found.get(name)), None)


def text_of(value: str) -> str:
    """Return a header's text: WSGI hands bytes over as Latin-1, clients mean UTF-8."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace").strip()


def _goes_up(name: str, value: str, named: set[str]) -> bool:
    if name in _NOT_UP or name in named or name.startswith(_NOT_UP_STARTS):
        return False
    return _OUR_TOKEN.search(value) is None
