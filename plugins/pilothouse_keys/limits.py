"""How often a stranger may report leaked tokens."""

from __future__ import annotations

from pilothouse.sdk import RateLimit, runtime

LEAKS = RateLimit(60, 600)  # reports of one network address in ten minutes: each costs a hash and a lookup


def hit_leak(address: str) -> None:
    """Count a report. Raises TooManyRequests."""
    runtime().limiter.hit("leak", address, LEAKS)
