"""What changed: a revision for each topic, kept in the broker, so that an open console asks without a database query.

A revision is an opaque text that never comes back, also when the broker was emptied or lost its last second: each
change writes a new unique value, and a process that could not write one starts a new epoch when the broker is back.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import redis

from pilothouse import clock

PREFIX = "ph:changes:"
EPOCH = PREFIX + "epoch:"  # no topic ends in a colon
PAUSE_S = 2.0  # after an outage nobody asks for so long: a frozen broker costs one request 50 ms, not all of them


class Changes:
    """Revisions of topics; safe to use from any thread."""

    def __init__(self, client: redis.Redis | None) -> None:
        """Take a client with short time-outs (`broker.connect`); None where there is no broker."""
        self.said = 0  # how often this process said that something changed: what it remembered before may be wrong since
        self._client = client
        self._away_until = 0.0
        self._owes_epoch = False
        self._lock = threading.Lock()
        self._bumps: Counter[str] = Counter()  # by this process, of each topic
        self._recent: dict[tuple[str, ...], tuple[list[int], float, str]] = {}

    def bump(self, *topics: str) -> None:
        """Say that the topics changed. Never raises; takes 50 ms at most, nothing while the broker is known away."""
        self.said += 1
        try:
            self._write(topics)
        finally:
            self._bumps.update(topics)  # last: whoever reads the old revision meanwhile is not to keep it

    def _write(self, topics: Sequence[str]) -> None:
        if not topics or self._client is None:
            return
        if self._is_away():
            self._owes_epoch = True
            return
        try:
            self._pay_epoch(self._client)
            self._client.mset({PREFIX + topic: clock.new_id() for topic in topics})
        except redis.RedisError:
            self._went_away()

    def revision(self, *topics: str) -> str | None:
        """Return the topics' common revision; None when the broker is away, then the caller asks the database."""
        if self._client is None or self._is_away():
            return None
        keys = [EPOCH, *(PREFIX + topic for topic in topics)]
        try:
            self._pay_epoch(self._client)
            values = self._read(self._client, keys)
        except redis.RedisError:
            self._went_away()
            return None
        return ".".join(value[-12:].decode() for value in values)  # a UUIDv7's random end

    def recent(self, *topics: str, within_s: float) -> str | None:
        """Return the topics' revision, asking the broker once in so many seconds.

        What other processes changed is seen that late, what this one changed at once.
        """
        bumps = [self._bumps[topic] for topic in topics]
        kept = self._recent.get(topics)
        if kept is not None and kept[0] == bumps and time.monotonic() < kept[1]:
            return kept[2]
        revision = self.revision(*topics)
        if revision is not None:
            self._recent[topics] = (bumps, time.monotonic() + within_s, revision)
        return revision

    def _read(self, client: redis.Redis, keys: Sequence[str]) -> list[bytes]:
        values: list[Any] = client.mget(keys)
        missing = [key for key, value in zip(keys, values, strict=True) if value is None]
        if missing:  # first use, or the broker was emptied
            for key in missing:
                client.set(key, clock.new_id(), nx=True)
            values = client.mget(keys)
        if any(value is None for value in values):
            raise redis.RedisError("the broker forgets what it is given")
        return values

    def _is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def _went_away(self) -> None:
        self._owes_epoch = True
        self._away_until = time.monotonic() + PAUSE_S

    def _pay_epoch(self, client: redis.Redis) -> None:
        """After an outage changes may have gone unsaid: a new epoch makes every old revision invalid."""
        with self._lock:
            if self._owes_epoch:
                client.set(EPOCH, clock.new_id())
                self._owes_epoch = False
