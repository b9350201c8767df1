"""Langfuse's traces and observations become spans, in the names that its OTLP spans have, and so become signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pilothouse.sdk import NOTHING, Execution, Signal, Status, parse_id, raw
from pilothouse_otel import service
from pilothouse_otel.calls import usages_of
from pilothouse_otel.content import as_json
from pilothouse_otel.context import Context, agent_of
from pilothouse_otel.failures import Failure, make_error
from pilothouse_otel.langfuse import Batch, Body
from pilothouse_otel.limits import LONGEST_MESSAGE
from pilothouse_otel.spans import ERROR, NO_STATUS, Span
from pilothouse_otel.traces import Item, kinds_of, parts_of
from pilothouse_otel.values import first_text, moment

# What is remembered of an observation and of a trace; content is kept where it is shown, and nowhere else.
REMEMBERED = frozenset({
    "type", "name", "startTime", "endTime", "model", "usage", "usageDetails", "costDetails", "level", "statusMessage",
    "parentObservationId", "version",
})  # fmt: skip
REMEMBERED_OF_TRACE = frozenset({
    "name", "userId", "sessionId", "release", "environment", "timestamp", "start_time", "end_time", "level", "status_message",
})  # fmt: skip
_GRAVITY: Mapping[str, int] = {"succeeded": 0, "failed": 1}


def translate(batch: Batch) -> list[Item]:
    """Return the signals of a batch, each with the place of its event. Remembers what later batches will need."""
    told = {key: _part(body, REMEMBERED) for key, body in batch.observations.items()}
    told |= {(trace_id, ""): _part(body, REMEMBERED_OF_TRACE) for trace_id, body in batch.traces.items()}
    told |= {(trace_id, ""): {} for trace_id, _ in batch.observations if trace_id not in batch.traces}
    known = service.remember(told)
    tops = service.ends_at_the_top(trace_id for trace_id, body in batch.traces.items() if "output" in body)
    items: list[Item] = list(batch.scores)
    for trace_id in dict.fromkeys(trace_id for trace_id, _ in told):
        trace = {**known[trace_id, ""], **batch.traces.get(trace_id, {}), "tops": tops.get(trace_id, [])}
        spans = {
            key: _span((trace_id, key), {**known[trace_id, key], **body}, batch.places[trace_id, key])
            for (of, key), body in batch.observations.items()
            if of == trace_id
        }
        items += _signals(trace_id, trace, spans, batch.places.get((trace_id, ""), 0))
    return items


def _signals(trace_id: str, trace: Body, spans: Mapping[str, Span], place: int) -> Iterator[Item]:
    kinds = kinds_of(spans)
    agents = (agent_of(span, "agent") for key, span in spans.items() if kinds.get(key) == "agent")
    context = Context(
        workflow=first_text(trace, ("name",)),
        agent=next((agent for agent in agents if agent is not None), None),
        user=first_text(trace, ("userId",)),
        session=first_text(trace, ("sessionId",)),
        environment=first_text(trace, ("environment",)),
        release=first_text(trace, ("release",)),
        tags=_tags(trace),
    )
    yield place, _execution(trace_id, trace, spans, context)
    yield from parts_of(spans, kinds, context)
    yield from ((span.place, usage) for span, usage in usages_of(spans, kinds, context))
    if trace.get("level") == "ERROR":
        yield place, _trace_error(trace_id, trace, context)


def _execution(trace_id: str, trace: Body, spans: Mapping[str, Span], context: Context) -> Execution:
    finished_at, status = _end(trace, spans)
    starts = [at for name in ("timestamp", "start_time") if (at := moment(trace.get(name))) is not None]
    return Execution(
        id=trace_id,
        workflow=context.workflow or "",
        status=status,
        started_at=min(starts) if starts else None,
        finished_at=finished_at,
        agent=context.agent,
        user=context.user,
        session=context.session,
        environment=context.environment,
        release=context.release,
        input=_content(trace, "input"),
        output=_content(trace, "output"),
        attributes=raw(context.tags) if context.tags else NOTHING,
    )


def _end(trace: Body, spans: Mapping[str, Span]) -> tuple[int | None, Status]:
    """Return when a trace ended and how. Nothing says so in one place: its last word counts, be it the trace's own end,
    its output, or the end of an observation at the top. Of one millisecond the trace's own word counts, then the graver.
    """
    ends: list[tuple[int, int, Status]] = [
        (span.end, _GRAVITY[_status(failed=span.status == ERROR)], _status(failed=span.status == ERROR))
        for span in spans.values()
        if span.parent_id is None and span.end is not None
    ]
    own = moment(trace.get("end_time"))
    if own is not None:
        ends.append((own, len(_GRAVITY), _status(failed=trace.get("level") == "ERROR")))
    elif "output" in trace and (told_at := moment(trace.get("told_at"))) is not None:
        ends.append((told_at, len(_GRAVITY), _status(failed=_level_with_output(trace) == "ERROR")))
    if not ends:
        return None, "running"
    at, _, status = max(ends)
    return at, status


def _level_with_output(trace: Body) -> Any:
    """Return how a trace ended whose output came without a word on that.

    A program that goes on after a failure ends well; where the output only repeats the message of the last observation at
    the top, as LangChain's handler has it, that failure was the end.
    """
    if trace.get("level") or not trace["tops"]:
        return trace.get("level")
    last = max(trace["tops"], key=lambda body: (moment(body.get("endTime")) or 0, body.get("level") == "ERROR"))
    message = first_text(last, ("statusMessage",), LONGEST_MESSAGE) or ""
    return last.get("level") if message in _text(trace["output"]) else None


def _status(*, failed: bool) -> Status:
    return "failed" if failed else "succeeded"


def _span(key: tuple[str, str], body: Body, place: int) -> Span:
    """Make the span of an observation, in the names of Langfuse's own spans."""
    failed = body.get("level") == "ERROR"
    start = moment(body.get("startTime"))
    kind = str(body["type"])
    message = first_text(body, ("statusMessage",), LONGEST_MESSAGE) or ""
    end = start if kind == "event" else moment(body.get("endTime"))
    parent = body.get("parentObservationId")
    return Span(
        trace_id=key[0], span_id=key[1], parent_id=parse_id(parent) if parent else None,
        name=first_text(body, ("name",)) or kind, kind=0, start=start, end=end, status=ERROR if failed else NO_STATUS,
        message=message if failed else "", flags=0, attributes=_attributes(body, kind), events=[],
        scope="langfuse", resource={}, place=place,
    )  # fmt: skip


def _attributes(body: Body, kind: str) -> dict[str, Any]:
    usage = body.get("usageDetails") or body.get("usage")
    named = {
        "langfuse.observation.type": kind,
        "langfuse.observation.input": body.get("input"),
        "langfuse.observation.output": body.get("output"),
        "langfuse.observation.level": body.get("level"),
        "langfuse.observation.status_message": body.get("statusMessage"),
        "langfuse.observation.model.name": body.get("model"),
        "langfuse.observation.model.parameters": body.get("modelParameters"),
        "langfuse.observation.usage_details": usage if _in_tokens(usage) else None,
        "langfuse.observation.cost_details": body.get("costDetails") or _cost(usage),
        "langfuse.observation.metadata": body.get("metadata"),
        "langfuse.observation.version": body.get("version"),
        "langfuse.observation.completion_start_time": body.get("completionStartTime"),
    }
    return {name: value for name, value in named.items() if value is not None}


def _in_tokens(usage: Any) -> bool:
    return isinstance(usage, dict) and (usage.get("unit") or "TOKENS") == "TOKENS"


def _cost(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    costs = {"total": usage.get("totalCost"), "input": usage.get("inputCost"), "output": usage.get("outputCost")}
    return {name: cost for name, cost in costs.items() if cost is not None} or None


def _trace_error(trace_id: str, trace: Body, context: Context) -> Signal:
    message = first_text(trace, ("status_message",), LONGEST_MESSAGE) or ""
    at = moment(trace.get("end_time")) or moment(trace.get("told_at"))
    span = _span((trace_id, trace_id), {"type": "span", "name": context.workflow, "level": "ERROR"}, 0)
    return make_error(Failure(error_type="Error", message=message, at=at), span, context)


def _tags(trace: Body) -> dict[str, Any]:
    metadata = trace.get("metadata")
    tags = dict(metadata) if isinstance(metadata, dict) else {"metadata": metadata} if metadata is not None else {}
    more = {name: trace[name] for name in ("tags", "version") if trace.get(name)}
    return {**tags, **more}


def _part(body: Body, names: frozenset[str]) -> Body:
    return {name: value for name, value in body.items() if name in names}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _content(body: Body, name: str) -> msgspec.Raw:
    return as_json(body[name]) if body.get(name) is not None else NOTHING
