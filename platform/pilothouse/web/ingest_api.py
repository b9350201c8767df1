"""`POST /api/ingest`: the door of Pilothouse's own reports."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import msgspec
from flask import request

from pilothouse.contract.recording import Source
from pilothouse.decoding import MOST_BYTES, MOST_SIGNALS, Item, SignalReader
from pilothouse.errors import UnsupportedMedia
from pilothouse.identity.principal import require
from pilothouse.outcomes import Outcome
from pilothouse.runtime import runtime
from pilothouse.signals import CORE_SIGNALS
from pilothouse.web.api import ApiBlueprint
from pilothouse.web.bodies import read_body
from pilothouse.web.limits import Limit
from pilothouse.web.openapi import described

LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


class Rejected(msgspec.Struct, frozen=True):
    """A signal that was not stored and why."""

    index: int
    id: str | None
    errors: list[dict[str, str]]


class IngestAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the signals; `commands` are for executions that this token reported."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    commands: list[dict[str, str]] | None = None


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("ingest", title="Sending signals")
    kinds: Any = functools.reduce(operator.or_, map(described, CORE_SIGNALS))
    report = msgspec.defstruct("Report", [("signals", list[kinds])])
    options: dict[str, Any] = {"transaction": False, "idempotent": True, "limit": MOST_BYTES, "documents": report}
    bp.post("/ingest", permission="core.signals.send", **options)(ingest)
    return bp


def ingest() -> IngestAnswer:
    """Send signals.

    Body `{"signals": [...]}` as JSON, or one signal a line as `application/x-ndjson`; `Content-Encoding` gzip, deflate, br
    or zstd. At most 5,000 signals and 10 MiB after decompression. Answers after the commit; a bad signal never takes a
    good one with it.
    """
    principal = require("core.signals.send")
    source = Source(principal.token_id, request.headers.get("User-Agent", "")[:100])
    with runtime().ingest.watched(source):
        items, outcome = _read()
        charge(principal.id, len(items))
    outcome = runtime().ingest.submit(items, source, outcome)
    return answer(outcome, commands_for(principal.token_id))


def _read() -> tuple[list[Item], Outcome]:
    body = read_body(MOST_BYTES)
    reader: SignalReader = runtime().reader
    if request.mimetype in LINES:
        return reader.read_lines(body)
    if request.mimetype in {"application/json", ""}:
        return reader.read_json(body)
    raise UnsupportedMedia(f"Content-Type {request.mimetype[:60]!r} is not read here; send application/json.")


def charge(caller: str, signals: int) -> None:
    """Count signals against PILOTHOUSE_INGEST_RATE where it is set. Raises TooManyRequests.

    A request that holds more than a second's share could never pass a limit by the second, so the longer window in which
    the largest request fits decides on it; all requests count there, so that large ones pay for themselves.
    """
    rate = runtime().settings["PILOTHOUSE_INGEST_RATE"]
    if not rate:
        return
    cost = max(signals, 1)
    if cost <= rate:
        runtime().limiter.hit("ingest", caller, Limit(rate, 1), cost=cost)
    if rate < MOST_SIGNALS:
        seconds = math.ceil(MOST_SIGNALS / rate)
        runtime().limiter.hit("ingest-large", caller, Limit(rate * seconds, seconds), cost=min(cost, MOST_SIGNALS))


def commands_for(token_id: str | None) -> list[dict[str, str]] | None:
    """Return the commands that wait for the executions that a token reported."""
    commands = runtime().registry.first("commands", token_id=token_id) if token_id else None
    return [{"execution_id": c.execution_id, "command": c.command} for c in commands] if commands else None


def answer(outcome: Outcome, commands: list[dict[str, str]] | None) -> IngestAnswer:
    """Write the contract's answer."""
    rejected = [
        Rejected(r.index, r.id, [{"path": _path(r.index, e.path), "message": e.message} for e in r.errors])
        for r in sorted(outcome.rejected, key=lambda rejection: rejection.index)
    ]
    return IngestAnswer(outcome.accepted, outcome.duplicates, rejected, commands)


def _path(index: int, path: str) -> str:
    return f"signals[{index}]" if path in {"", "signal", "body"} else f"signals[{index}].{path}"
