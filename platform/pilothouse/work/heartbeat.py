"""Heartbeats of workers and schedulers, in the broker: they tell `doctor` and /readyz who is alive."""

from __future__ import annotations

import redis
from flask import Flask

from pilothouse import clock
from pilothouse.runtime import runtime

EVERY_S = 5.0
KEY = "ph:heartbeats"
SILENT_MS = 30 * clock.SECOND  # six beats missed
FORGET_MS = clock.HOUR


def beat(app: Flask, name: str) -> None:
    """Say that the process `name` ("worker host:pid") lives. Never raises: without the broker there is no heartbeat."""
    with app.app_context():
        client = runtime().redis
        if client is None:
            return
        try:
            client.hset(KEY, name, clock.now())
        except redis.RedisError:
            return


def alive(client: redis.Redis, kind: str) -> list[str]:
    """Return the names of the living processes of one kind ("worker"). Raises redis.RedisError."""
    now = clock.now()
    beats: dict[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]  # typed as if it might be awaited
    old = [name for name, at in beats.items() if now - int(at) > FORGET_MS]
    if old:
        client.hdel(KEY, *old)
    return sorted(name.decode() for name, at in beats.items() if name.startswith(kind.encode()) and now - int(at) <= SILENT_MS)
