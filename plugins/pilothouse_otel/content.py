"""What went into a step and what came out: prompts, answers, arguments and results, in every dialect.

Texts that hold JSON are passed on as JSON. What was taken out of the attributes is not kept among them a second time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pilothouse.sdk import NOTHING, raw
from pilothouse_otel.spans import Attributes, SpanEvent

Raw = msgspec.Raw

INPUTS = (
    "langfuse.observation.input", "langfuse.trace.input", "gen_ai.input.messages", "pydantic_ai.all_messages",
    "gen_ai.tool.call.arguments", "traceloop.entity.input", "gen_ai.task.input", "input.value", "ai.prompt.messages",
    "ai.prompt", "ai.toolCall.args", "ai.value", "ai.values", "gen_ai.request.messages", "gen_ai.prompt", "tool.parameters",
    "gcp.vertex.agent.tool_call_args", "gcp.vertex.agent.llm_request",
)  # fmt: skip
OUTPUTS = (
    "langfuse.observation.output", "langfuse.trace.output", "gen_ai.output.messages", "final_result", "gen_ai.tool.call.result",
    "traceloop.entity.output", "gen_ai.task.output", "output.value", "ai.response.text", "ai.response.object",
    "ai.response.toolCalls", "ai.toolCall.result", "gen_ai.response.text", "gen_ai.completion", "ai.embedding", "ai.embeddings",
    "gcp.vertex.agent.tool_response", "gcp.vertex.agent.llm_response",
)  # fmt: skip
# Older dialects spell each message out: gen_ai.prompt.0.content, llm.input_messages.0.message.role
NUMBERED_INPUT = ("gen_ai.prompt.", "llm.input_messages.", "llm.prompts.")
NUMBERED_OUTPUT = ("gen_ai.completion.", "llm.output_messages.", "llm.completions.")
_NUMBERED = re.compile(
    r"(?:gen_ai\.(?:prompt|completion)|llm\.(?:input_messages|output_messages|prompts|completions))\.(\d{1,4})\.(.+)"
)
TAKEN = frozenset({*INPUTS, *OUTPUTS, "input.mime_type", "output.mime_type", "logfire.json_schema"})
TAKEN_PREFIXES = (*NUMBERED_INPUT, *NUMBERED_OUTPUT, "embedding.embeddings.")
# Content in span events: as OpenTelemetry 1.27 had it, then one event a message
_EVENT_INPUTS = {"gen_ai.content.prompt": "gen_ai.prompt"}
_EVENT_OUTPUTS = {"gen_ai.content.completion": "gen_ai.completion"}
MESSAGE_EVENTS = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}  # fmt: skip
CHOICE_EVENT = "gen_ai.choice"
DETAILS_EVENT = "gen_ai.client.inference.operation.details"
_CONTENT_EVENTS = frozenset({DETAILS_EVENT, CHOICE_EVENT, *MESSAGE_EVENTS, *_EVENT_INPUTS, *_EVENT_OUTPUTS})


def content_of(attributes: Attributes, names: Sequence[str], numbered: tuple[str, ...]) -> Raw:
    """Return the content that stands under one of the names, the first that is not empty, or under numbered ones."""
    found = _first(attributes, names)
    return _numbered(attributes, numbered) if found is NOTHING and numbered else found


def input_of_events(events: Sequence[SpanEvent]) -> Raw:
    """Return what went into a step where events tell it."""
    for event in events:
        if event.name == DETAILS_EVENT or event.name in _EVENT_INPUTS:
            found = _first(event.attributes, (*INPUTS, _EVENT_INPUTS.get(event.name, "")))
            if found is not NOTHING:
                return found
    messages = [_message(event.attributes, MESSAGE_EVENTS[event.name]) for event in events if event.name in MESSAGE_EVENTS]
    return raw(messages) if messages else NOTHING


def output_of_events(events: Sequence[SpanEvent]) -> Raw:
    """Return what came out of a step where events tell it."""
    for event in events:
        if event.name == DETAILS_EVENT or event.name in _EVENT_OUTPUTS:
            found = _first(event.attributes, (*OUTPUTS, _EVENT_OUTPUTS.get(event.name, "")))
            if found is not NOTHING:
                return found
    messages = [_message(event.attributes, "assistant") for event in events if event.name == CHOICE_EVENT]
    return raw(messages) if messages else NOTHING


def is_content(name: str) -> bool:
    """Say whether an event carries content, so that it is not kept as an event too."""
    return name in _CONTENT_EVENTS


def as_json(value: Any) -> Raw:
    """Return a value as JSON: text that holds an object or list as what it holds."""
    if not isinstance(value, str):
        return raw(value)
    if value[:1] in {"{", "["} and _is_json(value):
        return Raw(value.encode())
    return raw(value)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def _first(attributes: Mapping[str, Any], names: Sequence[str]) -> Raw:
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return as_json(value)
    return NOTHING


def _numbered(attributes: Attributes, prefixes: tuple[str, ...]) -> Raw:
    """Put together the messages that attributes spell out, in their order."""
    messages: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        match = _NUMBERED.fullmatch(name) if name.startswith(prefixes) else None
        if match is not None:
            messages.setdefault(int(match[1]), {})[match[2].removeprefix("message.")] = value
    return raw([messages[place] for place in sorted(messages)]) if messages else NOTHING


def _message(attributes: Attributes, role: str) -> dict[str, Any]:
    return {"role": role, **{name: value for name, value in attributes.items() if not name.startswith("gen_ai.")}}
