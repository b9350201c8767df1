"""What went into a step and what came out. Texts that hold JSON are passed on as JSON; nothing of it is kept twice."""

from __future__ import annotations

from typing import Any

import msgspec

from pilothouse.sdk import Malformed, raw
from pilothouse_sentry.values import Json, decode

NOTHING = msgspec.Raw()
INPUTS = (
    "gen_ai.input.messages", "gen_ai.request.messages", "gen_ai.embeddings.input", "gen_ai.tool.call.arguments",
    "gen_ai.tool.input", "ai.input_messages", "gen_ai.prompt",
)  # fmt: skip
OUTPUTS = (
    "gen_ai.output.messages", "gen_ai.response.text", "gen_ai.response.object", "gen_ai.response.tool_calls",
    "gen_ai.tool.call.result", "gen_ai.tool.output", "ai.responses",
)  # fmt: skip
_TAKEN = frozenset({*INPUTS, *OUTPUTS})
# What the SDK repeats on every span and the execution has once
_REPEATED = ("sentry.sdk.", "sentry.segment.", "process.runtime.", "app.", "device.", "culture.", "os.")
_REPEATED_NAMES = frozenset({
    "sentry.op", "sentry.trace_lifecycle", "sentry.is_localhost", "sentry.release", "sentry.environment",
    "sentry.sdk.integrations", "thread.id", "thread.name", "sentry.sample_rate",
})  # fmt: skip


def input_of(attributes: Json) -> msgspec.Raw:
    """Return what went into a step."""
    return _first(attributes, INPUTS)


def output_of(attributes: Json) -> msgspec.Raw:
    """Return what came out of a step."""
    return _first(attributes, OUTPUTS)


def of_step(attributes: Json, op: str) -> msgspec.Raw:
    """Return the attributes that a step keeps."""
    kept = {name: value for name, value in attributes.items() if name not in _TAKEN and not is_repeated(name)}
    if op:
        kept["sentry.op"] = op
    return raw(kept) if kept else NOTHING


def of_execution(attributes: Json) -> Json:
    """Return the attributes that an execution keeps of its segment."""
    return {name: value for name, value in attributes.items() if name not in _TAKEN}


def is_repeated(name: str) -> bool:
    """Say whether an attribute is of the program rather than of one span."""
    return name in _REPEATED_NAMES or name.startswith(_REPEATED)


def _first(attributes: Json, names: tuple[str, ...]) -> msgspec.Raw:
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return raw(_unfolded(value))
    return NOTHING


def _unfolded(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in {"{", "["}:
        return value
    try:
        return decode(value.encode())
    except Malformed:
        return value
