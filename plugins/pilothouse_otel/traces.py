"""A trace becomes an execution, its spans become steps, its failures errors, its model calls token usage.

A trace arrives in pieces, children first. Whatever comes without the root span reports the execution as running, with what
is known of it; the root span fills in the rest. Every id follows from the ids of trace and span, so that a piece that
arrives twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pilothouse.sdk import DAY, NOTHING, EventSignal, Execution, Signal, Status, Step, StepKind, raw
from pilothouse_otel import logfire, mlflow
from pilothouse_otel.calls import call_id, usages_of, without_twins
from pilothouse_otel.content import (
    NUMBERED_INPUT,
    NUMBERED_OUTPUT,
    content_of,
    input_of_events,
    is_content,
    output_of_events,
)
from pilothouse_otel.context import Context, context_of, trigger_of, workflow_of_root
from pilothouse_otel.failures import EXCEPTION_EVENT, errors_of, has_failed, make_error
from pilothouse_otel.kinds import OPERATION, UNNAMED, is_log, is_pending, kind_of, step_name
from pilothouse_otel.limits import LONGEST_NAME
from pilothouse_otel.shapes import Shape, note_shapes
from pilothouse_otel.spans import CONSUMER, KINDS, REMOTE, REMOTE_KNOWN, SERVER, Attributes, Refused, Span
from pilothouse_otel.values import cut, first_text

PENDING_PARENT = "logfire.pending_parent_id"
PENDING_SUFFIX = " (pending)"
NO_SPAN = "0" * 16
CHUNKS = ".chunk"  # the end of the names of events that only say that a piece of a stream came

Item = tuple[int, Signal]
Spans = Mapping[str, Span]


def translate(spans: Iterable[Span], now: int, refused: Refused) -> list[Item]:
    """Return the signals of a request's spans, each with the place of its span. `now` is in Unix ms."""
    traces: dict[str, dict[str, Span]] = {}
    items: list[Item] = []
    for span in spans:
        if mlflow.TYPE in span.attributes:
            span.attributes = mlflow.in_common_names(span.attributes)
        elif logfire.TEMPLATE in span.attributes:
            span.attributes = logfire.in_common_names(span.attributes)
        if max(span.start or 0, span.end or 0) > now + DAY:
            refused.add("a span lies more than 24 hours in the future")
        elif is_pending(span.attributes):
            items += _pending(span)
        else:
            traces.setdefault(span.trace_id, {})[span.span_id] = span
    usages = []
    for trace in traces.values():
        kinds = kinds_of(trace)
        context = context_of(trace, kinds)
        if _only_creates_an_agent(trace):
            items += ((span.place, _event(span, context, {})) for span in trace.values())
            continue
        items += _executions(trace, context)
        items += parts_of(trace, kinds, context)
        usages += usages_of(trace, kinds, context)
    items += ((span.place, usage) for span, usage in without_twins(usages))
    return items


def kinds_of(spans: Spans) -> dict[str, StepKind]:
    """Return the kinds of those spans that are of an AI dialect. Works out the shape of each span."""
    note_shapes(spans.values())
    return {key: kind_of(span) for key, span in spans.items() if not span.shape.plain}


def parts_of(spans: Spans, kinds: Mapping[str, StepKind], context: Context) -> Iterator[Item]:
    """Return the steps, errors and events of one trace's spans."""
    for key, span in spans.items():
        yield span.place, _step(span, kinds.get(key))
    for span, failure in errors_of(spans):
        yield span.place, make_error(failure, span, context)
    for key in kinds:
        if is_log(spans[key].attributes):
            yield spans[key].place, _event(spans[key], context, {"execution_id": spans[key].trace_id, "step_id": key})


def _executions(spans: Spans, context: Context) -> Iterator[Item]:
    """Report the execution: by its root spans, else as running."""
    roots = [span for span in spans.values() if _is_root(span, spans)]
    for span in roots:
        if span.parent_id is None:
            yield span.place, _finished(span, context, workflow_of_root(span))
        else:  # the program that began the trace has the last word on its name, its start and what set it off
            begun = _running(span, context, workflow_of_root(span))
            yield span.place, msgspec.structs.replace(begun, started_at=span.start, trigger=trigger_of(span))
            ended = _finished(span, context, "")
            yield span.place, msgspec.structs.replace(ended, started_at=None, trigger=None)
    if not roots:
        span = next(iter(spans.values()))
        yield span.place, _running(span, context, context.workflow or "")


def _is_root(span: Span, spans: Spans) -> bool:
    """Say whether a span is where this program's part of the trace begins: its parent, if any, is elsewhere."""
    if span.parent_id is None or span.attributes.get("langfuse.internal.is_app_root") is True:
        return True
    if span.flags & REMOTE_KNOWN:
        return bool(span.flags & REMOTE)
    return span.kind in {SERVER, CONSUMER} and span.parent_id not in spans


def _finished(span: Span, context: Context, workflow: str) -> Execution:
    return Execution(
        id=span.trace_id,
        workflow=workflow,
        status=_status(span),
        started_at=span.start,
        finished_at=_end(span),
        trigger=trigger_of(span),
        agent=context.agent,
        user=context.user,
        session=context.session,
        environment=context.environment,
        release=context.release,
        input=_input(span),
        output=_output(span),
        attributes=_run_attributes(span, context),
    )


def _running(span: Span, context: Context, workflow: str) -> Execution:
    """Report what is known before the root span has come; an empty workflow leaves the name open."""
    return Execution(
        id=span.trace_id,
        workflow=workflow,
        status="running",
        agent=context.agent,
        user=context.user,
        session=context.session,
        environment=context.environment,
        release=context.release,
        attributes=_run_attributes(span, context),
    )


def _run_attributes(span: Span, context: Context) -> msgspec.Raw:
    attributes = {**span.resource, **context.tags}
    return raw(attributes) if attributes else NOTHING


def _step(span: Span, kind: StepKind | None) -> Step:
    """Make the step of a span; `kind` is None for a span of no AI dialect."""
    name = step_name(span)
    return Step(
        id=span.span_id,
        execution_id=span.trace_id,
        name=name,
        kind=kind or "other",
        parent_id=span.parent_id,
        status=_status(span),
        started_at=span.start,
        finished_at=_end(span),
        input=_input(span),
        output=_output(span),
        attributes=_step_attributes(span, name),
    )


def _input(span: Span) -> msgspec.Raw:
    shape: Shape = span.shape
    if shape.plain:
        return NOTHING
    found = content_of(span.attributes, shape.inputs, NUMBERED_INPUT if shape.numbered_input else ())
    return input_of_events(span.events) if found is NOTHING and span.events else found


def _output(span: Span) -> msgspec.Raw:
    shape: Shape = span.shape
    if shape.plain:
        return NOTHING
    found = content_of(span.attributes, shape.outputs, NUMBERED_OUTPUT if shape.numbered_output else ())
    return output_of_events(span.events) if found is NOTHING and span.events else found


def _step_attributes(span: Span, name: str) -> msgspec.Raw:
    attributes = _rest(span)
    attributes["otel.scope.name"] = span.scope
    if name != span.name != "":
        attributes["otel.span.name"] = cut(span.name)
    if 0 < span.kind < len(KINDS):
        attributes["otel.span.kind"] = KINDS[span.kind]
    if span.message:
        attributes["otel.status_description"] = cut(span.message)
    if span.events:
        events = [
            {"name": event.name, "at": event.at, "attributes": event.attributes}
            for event in span.events
            if event.name != EXCEPTION_EVENT and not _is_chunk(event.name) and not is_content(event.name)
        ]
        if events:
            attributes["otel.events"] = events
    return raw(attributes)


def _is_chunk(name: str) -> bool:
    return name.endswith(CHUNKS) or name.startswith(mlflow.CHUNK)


def _rest(span: Span) -> Attributes:
    """Return the attributes that are kept as such: content is not kept a second time."""
    return {name: span.attributes[name] for name in span.shape.rest}


def _status(span: Span) -> Status:
    if span.end is None:
        return "running"
    return "failed" if has_failed(span) else "succeeded"


def _end(span: Span) -> int | None:
    """Return when a span ended: not before it started, whatever its clock says."""
    return span.end if span.end is None or span.start is None else max(span.end, span.start)


def _pending(span: Span) -> Iterator[Item]:
    """Open the step that a pending span announces: it is the pending one's parent."""
    real, above = span.parent_id, span.attributes.get(PENDING_PARENT)
    if real is None:
        return
    parent = above if isinstance(above, str) and len(above) == len(NO_SPAN) and above != NO_SPAN else None
    own = span.name.removesuffix(PENDING_SUFFIX)
    running = msgspec.structs.replace(span, name=own, span_id=real, parent_id=parent, end=None, events=[])
    kinds = kinds_of({real: running})
    context = context_of({real: running}, kinds)
    make, name = (_finished, workflow_of_root(running)) if parent is None else (_running, context.workflow or "")
    yield span.place, make(running, context, name)
    yield span.place, _step(running, kinds.get(real))


def _only_creates_an_agent(spans: Spans) -> bool:
    """Say whether a trace is no run: frameworks tell, each in a trace of its own, of the agents that a program makes."""
    first = next(iter(spans.values()))
    of_creating = first.attributes.get(OPERATION) == "create_agent" and first.parent_id is None and first.end is not None
    return of_creating and len(spans) == 1 and not has_failed(first)


def _event(span: Span, context: Context, place: dict[str, str]) -> EventSignal:
    """Make the event of a span that only notes that something happened; `place` says in which run and step, if in any."""
    return EventSignal(
        id=call_id(span),
        name=cut(span.name, LONGEST_NAME) or UNNAMED,
        component=first_text(span.resource, ("service.name",)),
        user=context.user,
        session=context.session,
        ok=not has_failed(span),
        at=span.start,
        properties=raw({**_rest(span), **place}),
    )


