"""A call as it is known: when it begins, while it runs, when it ended. What the journal keeps and records are made of."""

from __future__ import annotations

from typing import Literal

import msgspec

from pilothouse.sdk import new_id, now

State = Literal["running", "succeeded", "failed"]


class Used(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call used, in the provider's own words. `prompt` includes cached tokens, `completion` reasoning.

    A part that is None was not told. `partial` marks what was told before the answer broke off.
    """

    prompt: int
    completion: int
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    partial: bool = False


class Tried(msgspec.Struct, frozen=True):
    """A secret of a key that the provider refused, and with which status; `name` tells a key's secrets apart."""

    key_id: str
    status: int
    name: str = ""


class Call(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One call of a program to a provider; plain values only, no secret.

    `own` says that the execution is nobody else's but this call's. `usage_id` is the id under which its usage is
    recorded. Times are Unix milliseconds, durations milliseconds. `input` and `output` are JSON text, where kept.
    """

    id: str = msgspec.field(default_factory=new_id)
    service: str
    operation: str
    execution_id: str
    own: bool
    usage_id: str
    workflow: str | None = None
    agent: str | None = None
    user: str | None = None
    token_id: str | None = None
    client: str = ""
    request_model: str | None = None
    stream: bool = False
    started_at: int = msgspec.field(default_factory=now)
    state: State = "running"
    finished_at: int | None = None
    key_id: str | None = None
    tried: list[Tried] = []
    status: int | None = None
    request_id: str | None = None
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    used: Used | None = None
    first_ms: float | None = None
    latency_ms: float | None = None
    abandoned: bool = False
    error_type: str | None = None
    error_message: str | None = None
    input: str | None = None
    output: str | None = None

    def fail(self, error_type: str, message: str) -> None:
        """Note why the call failed; the first reason is the cause."""
        self.state = "failed"
        if self.error_type is None:
            self.error_type, self.error_message = error_type, message
