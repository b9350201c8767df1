"""Settings of the gateway: where the providers are, how long they may be silent, how often a token may call, what is kept."""

from __future__ import annotations

from urllib.parse import urlsplit

from pilothouse.sdk import Setting, duration, url, whole

UPSTREAMS = {"openai": "PILOTHOUSE_UPSTREAM_OPENAI", "anthropic": "PILOTHOUSE_UPSTREAM_ANTHROPIC"}
SILENCE = "PILOTHOUSE_GATEWAY_TIMEOUT"
RATE = "PILOTHOUSE_GATEWAY_RATE"
KEEP_CONTENT = "PILOTHOUSE_GATEWAY_KEEP_CONTENT"


def upstream(value: str) -> str:
    """Read a provider's address, with or without /v1 at its end. Raises ValueError."""
    address = url("http", "https")(value)
    parts = urlsplit(address)
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if parts.query or parts.fragment or not address.isprintable() or any(mark in address for mark in " \\?#"):
        raise ValueError("must be an address without query and fragment")
    return without_version(address)


def without_version(address: str) -> str:
    """Return an address without the /v1 that each path begins with anyway."""
    return address.rstrip("/").removesuffix("/v1").rstrip("/")


SETTINGS = (
    Setting(UPSTREAMS["openai"], upstream, "https://api.openai.com",
            "Where /gateway/openai leads; a key with an address of its own goes before"),
    Setting(UPSTREAMS["anthropic"], upstream, "https://api.anthropic.com",
            "Where /gateway/anthropic leads; a key with an address of its own goes before"),
    Setting(SILENCE, duration, 600_000, "How long a provider may be silent during a call, such as 90s or 10m"),
    Setting(RATE, whole(1, 10_000_000), None, "Calls a minute that one token may make through the gateway; no limit if unset"),
    Setting(KEEP_CONTENT, duration, None,
            "How long prompts and answers of gateway calls are kept, such as 7d; they are not stored at all if unset"),
)  # fmt: skip
