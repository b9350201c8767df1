"""The broker's address, and a client for short commands that never holds up a request.

Celery's own connections are made by Celery; these are for counters, heartbeats and revisions.
"""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 0.05  # longest that one command may take; a page has 500 ms in all when the broker is frozen


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """Return a client for `redis://`, `rediss://` or `unix://` with short time-outs; nothing is connected yet.

    Nothing is tried twice: a connection that broke is told, since the server may have lost its last second of writes.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def celery_url(url: str) -> str:
    """Return the address as kombu wants it: `redis+socket:///run/v.sock?virtual_host=1` for `unix:///run/v.sock?db=1`."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{login}{parts.path}?virtual_host={database}"


def socket_path(url: str) -> str | None:
    """Return the path of a `unix://` address, None for the others."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "unix" else None
