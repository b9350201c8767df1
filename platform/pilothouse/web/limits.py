"""Rate limits that hold across processes: counters in Valkey, local ones while it is away, and the headers that tell.

Headers follow draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "name";q=5;w=600` and
`RateLimit: "name";r=4;t=600`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import redis
from flask import Flask, Response, g, has_request_context
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from pilothouse.errors import TooManyRequests

# Up to so many the exact window is kept as a list of moments; beyond, two weighted counters do, in constant memory
EXACT_UP_TO = 1_000
TIMEOUT_S = 0.05  # one counter's share of a page's time when the broker is frozen
PAUSE_S = 2.0  # after an outage the broker is left alone for so long: a frozen one delays one request, not all
NOTED = "pilothouse_limits"  # the attribute of flask.g: what the answer's headers tell
NETWORK_BITS = 64  # what a provider gives one IPv6 customer: single addresses cost an attacker nothing


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` in any `per_s` seconds."""

    amount: int
    per_s: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is left after a hit, and in how many seconds more comes free."""

    name: str
    limit: Limit
    allowed: bool
    remaining: int
    reset_s: int


class Limiter:
    """Counts hits; safe to use from any thread. Falls back to this process's own counters while the broker is away."""

    def __init__(self, redis_url: str | None) -> None:
        """Take the broker's URL, None where there is none. Nothing is connected yet."""
        self._shared = _strategies(_redis_storage(redis_url)) if redis_url else None
        self._local = _strategies(MemoryStorage())
        self._away_until = 0.0
        self._lock = threading.Lock()

    def hit(self, name: str, key: str, limit: Limit, cost: int = 1) -> Verdict:
        """Count `cost` against `key` and note it for the answer's headers. Raises TooManyRequests over the limit.

        What is refused counts for nothing, so waiting as long as `Retry-After` says is always enough for one more.
        """
        verdict = self._count(name, hashlib.sha256(key.encode()).hexdigest()[:32], limit, cost)
        if has_request_context():
            g.setdefault(NOTED, {})[name] = verdict
        if not verdict.allowed:
            raise TooManyRequests(
                f"More than {limit.amount} in {limit.per_s} s ({name}). Wait {verdict.reset_s} s.",
                retry_after=verdict.reset_s,
            )
        return verdict

    def _count(self, name: str, key: str, limit: Limit, cost: int) -> Verdict:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return _ask(self._shared, name, key, limit, cost)
            except redis.RedisError:
                with self._lock:
                    self._away_until = time.monotonic() + PAUSE_S
        return _ask(self._local, name, key, limit, cost)


def _redis_storage(url: str) -> RedisStorage:
    # a closed connection is replaced once, a time-out is not tried again: it would double the wait
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    options: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": retry}
    return RedisStorage(url, key_prefix="ph:limits", **options)


def _strategies(storage: RedisStorage | MemoryStorage) -> tuple[RateLimiter, RateLimiter]:
    return MovingWindowRateLimiter(storage), SlidingWindowCounterRateLimiter(storage)


def _ask(strategies: tuple[RateLimiter, RateLimiter], name: str, key: str, limit: Limit, cost: int) -> Verdict:
    exact, rough = strategies
    strategy = exact if limit.amount <= EXACT_UP_TO else rough
    item = RateLimitItemPerSecond(limit.amount, limit.per_s, namespace=name)
    allowed = strategy.hit(item, key, cost=cost)
    stats = strategy.get_window_stats(item, key)
    reset_s = min(limit.per_s, max(1, math.ceil(stats.reset_time - time.time())))
    return Verdict(name, limit, allowed, stats.remaining, reset_s)


def init_limits(app: Flask) -> None:
    """Let answers tell of the limits that the request was counted against."""
    app.before_request(_forget)
    app.after_request(tell)


def _forget() -> None:
    g.pop(NOTED, None)


def tell(response: Response) -> Response:
    """Write the RateLimit and RateLimit-Policy headers."""
    noted: dict[str, Verdict] = g.get(NOTED, {})
    if noted:
        response.headers["RateLimit-Policy"] = ", ".join(
            f'"{v.name}";q={v.limit.amount};w={v.limit.per_s}' for v in noted.values()
        )
        response.headers["RateLimit"] = ", ".join(f'"{v.name}";r={v.remaining};t={v.reset_s}' for v in noted.values())
    return response


def network_of(address: str) -> str:
    """Return what one caller can be told by: the IPv4 address, or the first 64 bits of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, NETWORK_BITS), strict=False))
    return str(parsed)
