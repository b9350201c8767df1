"""openai-agents' own exporter: its traces and spans become spans in OpenTelemetry's names, and so become signals.

https://openai.github.io/openai-agents-python/tracing. The trace comes when it begins, with its name; each span comes when
it ended. Response spans know the answer's id and tokens, but no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pilothouse.sdk import DAY, NOTHING, Execution, Malformed, Status, TooLarge, parse_id, raw
from pilothouse_otel.calls import usages_of
from pilothouse_otel.cleaning import clean_body
from pilothouse_otel.context import Context, agent_of
from pilothouse_otel.kinds import OPERATION, TRACELOOP_KIND
from pilothouse_otel.limits import LONGEST_MESSAGE, MOST_ITEMS
from pilothouse_otel.spans import ERROR, NO_STATUS, Refused, Span
from pilothouse_otel.traces import Item, kinds_of, parts_of
from pilothouse_otel.usage import NOT_REPORTED
from pilothouse_otel.values import bounded, first_text, first_whole, moment

Body = Mapping[str, Any]
# What each type of span is in OpenTelemetry's terms
_TYPES: dict[str, dict[str, str]] = {
    "agent": {OPERATION: "invoke_agent"}, "response": {OPERATION: "chat"}, "generation": {OPERATION: "chat"},
    "function": {OPERATION: "execute_tool"}, "guardrail": {TRACELOOP_KIND: "task"}, "custom": {TRACELOOP_KIND: "task"},
    "mcp_tools": {TRACELOOP_KIND: "task"}, "handoff": {OPERATION: "handoff"}, "transcription": {OPERATION: "chat"},
    "speech": {OPERATION: "chat"}, "speech_group": {TRACELOOP_KIND: "task"},
}  # fmt: skip
SOURCE = "openai-agents"
_MODEL_CALLS = frozenset({"response", "generation", "transcription", "speech"})
_ELSEWHERE = frozenset({"type", "name", "input", "output", "usage", "model", "response_id", "data"})
_OF_TOOL = re.compile(r"\AError running tool [^:]{1,255}: ")  # what the agent's span puts before the words of the tool's
_USER = ("user", "user_id", "userId", "user.id")


def translate(document: Any, now: int, refused: Refused) -> list[Item]:
    """Return the signals of a request, each with the place of its item. `now` is in Unix ms. Raises Malformed, TooLarge."""
    listed = document.get("data") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise Malformed('The body must be {"data": [...]}.')
    if len(listed) > MOST_ITEMS:
        raise TooLarge(f"{len(listed)} items; one request takes {MOST_ITEMS}.")
    items: list[Item] = []
    traces: dict[str, dict[str, Span]] = {}
    for place, told in enumerate(listed):
        try:
            item = bounded(told)
            if item.get("object") == "trace":
                items.append((place, _begun(clean_body(item))))
            else:
                span = _span(item, place, now)
                traces.setdefault(span.trace_id, {})[span.span_id] = span
        except (ValueError, AttributeError) as fault:
            refused.add(str(fault)[:200])
    for spans in traces.values():
        items += _signals(spans)
    return items


def _signals(spans: Mapping[str, Span]) -> Iterable[Item]:
    kinds = kinds_of(spans)
    agents = [agent_of(span, "agent") for key, span in spans.items() if kinds.get(key) == "agent"]
    context = Context(
        workflow=None, agent=agents[-1] if agents else None, user=None, session=None, environment=None, release=None, tags={}
    )
    broken = {span.parent_id for key, span in spans.items() if span.status == ERROR and kinds.get(key) == "agent"}
    for span in spans.values():
        if span.parent_id is None:
            yield span.place, _ended(span, context, failed=span.status == ERROR or span.span_id in broken)
    yield from parts_of(spans, kinds, context)
    for span, usage in usages_of(spans, kinds, context):
        told = usage.usage_source if usage.usage_source == NOT_REPORTED else SOURCE
        yield span.place, msgspec.structs.replace(usage, usage_source=told)


def _begun(trace: Body) -> Execution:
    metadata = trace.get("metadata") if isinstance(trace.get("metadata"), dict) else {}
    return Execution(
        id=parse_id(trace.get("id")),
        workflow=first_text(trace, ("workflow_name",)) or "",
        status="running",
        user=first_text(metadata or {}, _USER),
        session=first_text(trace, ("group_id",)),
        attributes=raw(metadata) if metadata else NOTHING,
    )


def _ended(span: Span, context: Context, *, failed: bool) -> Execution:
    """Report the end of a trace by the span at its top; its name came when it began.

    That span tells of no failure: the agent's below it does, unless the agent went on after it.
    """
    status: Status = "running" if span.end is None else "failed" if failed else "succeeded"
    return Execution(
        id=span.trace_id, workflow="", status=status, started_at=span.start, finished_at=span.end, agent=context.agent
    )


def _span(item: Body, place: int, now: int) -> Span:
    told = item.get("span_data")
    data = clean_body(told) if isinstance(told, dict) else {}
    kind = str(data.get("type") or "custom")
    start, end = moment(item.get("started_at")), moment(item.get("ended_at"))
    if max(start or 0, end or 0) > now + DAY:
        raise ValueError("a span lies more than 24 hours in the future")
    error = clean_body({"error": item.get("error")})["error"]
    return Span(
        trace_id=parse_id(item.get("trace_id")), span_id=parse_id(item.get("id")),
        parent_id=parse_id(item["parent_id"]) if item.get("parent_id") else None, name=_name(kind, data), kind=0, start=start,
        end=end, status=ERROR if error else NO_STATUS, message=_message(error), flags=0, attributes=_attributes(kind, data),
        events=[], scope="openai-agents", resource={}, place=place,
    )  # fmt: skip


def _name(kind: str, data: Body) -> str:
    if kind == "handoff":
        return f"handoff to {first_text(data, ('to_agent',)) or 'an agent'}"
    return first_text(data, ("name",)) or kind


def _message(error: Any) -> str:
    """Return what went wrong. The same failure is told on several spans, in other words but with the same `data.error`."""
    if not isinstance(error, dict):
        return str(error) if error else ""
    data = error.get("data")
    told = first_text(data, ("error",), LONGEST_MESSAGE) if isinstance(data, dict) else None
    return _OF_TOOL.sub("", told, count=1) if told else str(error.get("message") or "")


def _attributes(kind: str, data: Body) -> dict[str, Any]:
    more = data.get("data")
    inner = more if isinstance(more, dict) else {}
    attributes: dict[str, Any] = {**_TYPES.get(kind, {TRACELOOP_KIND: "task"})}
    attributes |= {f"openai.agents.{name}": value for name, value in {**data, **inner}.items() if name not in _ELSEWHERE}
    named = {
        "gen_ai.agent.name": data.get("name") if kind == "agent" else inner.get("agent_name"),
        "gen_ai.tool.name": data.get("name") if kind == "function" else None,
        "gen_ai.request.model": data.get("model"),
        "gen_ai.provider.name": "openai" if kind in _MODEL_CALLS else None,
        "gen_ai.response.id": data.get("response_id"),
        "traceloop.entity.input": data.get("input"),
        "traceloop.entity.output": data.get("output"),
        **_usage(data.get("usage") or inner.get("usage")),
    }
    return attributes | {name: value for name, value in named.items() if value is not None}


def _usage(usage: Any) -> dict[str, int | None]:
    """Read the usage of a response or a sum over several; input includes what was cached."""
    if not isinstance(usage, dict):
        return {}
    of_input, of_output = (usage.get(f"{side}_tokens_details") or {} for side in ("input", "output"))
    flat = {**usage, **(of_input if isinstance(of_input, dict) else {}), **(of_output if isinstance(of_output, dict) else {})}
    return {
        "gen_ai.usage.input_tokens": first_whole(flat, ("input_tokens", "prompt_tokens")),
        "gen_ai.usage.output_tokens": first_whole(flat, ("output_tokens", "completion_tokens")),
        "gen_ai.usage.cache_read.input_tokens": first_whole(flat, ("cached_tokens", "cached_input_tokens")),
        "gen_ai.usage.cache_write.input_tokens": first_whole(flat, ("cache_write_tokens", "cache_write_input_tokens")),
        "gen_ai.usage.reasoning.output_tokens": first_whole(flat, ("reasoning_tokens",)),
    }
