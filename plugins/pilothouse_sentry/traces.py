"""A trace becomes an execution, its spans become steps, its model calls token usage.

A transaction or segment ends the execution; spans that come without theirs report it as running. Every id follows from
those of trace and span, so that what arrives twice, or in a transaction and beside it, is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pilothouse.sdk import Execution, Signal, Step, StepKind, raw
from pilothouse_sentry import content, spans
from pilothouse_sentry.envelope import Scope
from pilothouse_sentry.events import request_of, user_of
from pilothouse_sentry.kinds import is_ai, kind_of
from pilothouse_sentry.spans import Span
from pilothouse_sentry.usage import AGENT, USER, agent_of, usages_of
from pilothouse_sentry.values import Json, an_object, first_text, objects, tags_of, text_of

NOTHING = msgspec.Raw()
SESSION = ("gen_ai.conversation.id", "session.id")
WORKFLOW = ("workflow", "gen_ai.workflow.name")
_TRIGGERS = {"http.server": "http", "queue.task": "queue", "queue.process": "queue", "cron": "schedule"}

Item = tuple[int, Signal]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the program's part of a trace beyond its spans."""

    workflow: str | None = None
    agent: str | None = None
    user: str | None = None
    environment: str | None = None
    release: str | None = None
    attributes: Json = {}


def of_transaction(transaction: Json, scope: Scope, place: int) -> list[Item]:
    """Return the signals of a transaction; none where it names no trace."""
    found = spans.of_transaction(transaction, scope.now, place)
    tags = tags_of(transaction.get("tags"))
    contexts = {
        name: value for name, value in an_object(transaction.get("contexts")).items() if name not in {"trace", "runtime"}
    }
    told = {
        "tags": tags, "extra": transaction.get("extra"), "contexts": contexts,
        "request": request_of(an_object(transaction.get("request"))), "server_name": transaction.get("server_name"),
    }  # fmt: skip
    origin = Origin(
        workflow=first_text(tags, ("workflow",)),
        agent=first_text(tags, ("agent",)),
        user=user_of(transaction),
        environment=text_of(transaction.get("environment")) or scope.environment,
        release=text_of(transaction.get("release")) or scope.release,
        attributes={name: value for name, value in told.items() if value},
    )
    return translate(found, origin)


def of_items(value: Any, scope: Scope, place: int) -> list[Item]:
    """Return the signals of a span item: a list of spans of version 2, or one span of the older spelling."""
    payload = an_object(value)
    if "items" in payload:
        found = [spans.of_item(one, scope.now, place) for one in objects(payload["items"])]
    elif "attributes" in payload:
        found = [spans.of_item(payload, scope.now, place)]
    else:
        found = [spans.old_span(payload, scope.now, place=place)]
    traces: dict[str, list[Span]] = {}
    for span in found:
        if span is not None:
            traces.setdefault(span.trace_id, []).append(span)
    return [item for trace in traces.values() for item in translate(trace, _origin(trace, scope))]


def _origin(trace: list[Span], scope: Scope) -> Origin:
    """Read what the spans themselves say of their program; the segment's word counts before the others'."""
    said: Json = {}
    for span in sorted(trace, key=lambda span: span.segment):
        said.update(span.attributes)
    return Origin(
        workflow=first_text(said, WORKFLOW),
        agent=first_text(said, AGENT),
        user=first_text(said, USER),
        environment=first_text(said, ("sentry.environment",)) or scope.environment,
        release=first_text(said, ("sentry.release",)) or scope.release,
    )


def translate(trace: Iterable[Span], origin: Origin) -> list[Item]:
    """Return the signals of spans of one trace."""
    by_id = {span.span_id: span for span in trace}
    if not by_id:
        return []
    kinds = {key: kind_of(span) for key, span in by_id.items() if is_ai(span)}
    items = list(_executions(by_id, kinds, origin))
    items += ((span.place, _step(span, kinds.get(key))) for key, span in by_id.items())
    items += ((span.place, usage) for span, usage in usages_of(by_id, kinds, agent=origin.agent))
    return items


def _executions(by_id: Mapping[str, Span], kinds: Mapping[str, StepKind], origin: Origin) -> Iterator[Item]:
    segments = [span for span in by_id.values() if span.segment]
    agents = (agent_of(by_id[key], kind) for key, kind in kinds.items() if kind == "agent")
    agent = origin.agent or next((named for named in agents if named is not None), None)
    session = next((found for span in by_id.values() if (found := first_text(span.attributes, SESSION))), None)
    for span in segments:
        ended = _finished(span, origin, agent=agent, session=session)
        if span.parent_id is not None:  # the program that began the trace has the last word on its name, start and trigger
            begun = _running(span, origin, span.name, agent=agent, session=session)
            yield span.place, msgspec.structs.replace(begun, started_at=span.start, trigger=ended.trigger)
            ended = msgspec.structs.replace(ended, started_at=None, trigger=None)
        yield span.place, ended
    if not segments:
        first = next(iter(by_id.values()))
        name = first_text(first.attributes, ("sentry.segment.name",)) or ""
        yield first.place, _running(first, origin, name, agent=agent, session=session)


def _finished(span: Span, origin: Origin, *, agent: str | None, session: str | None) -> Execution:
    attributes = {**content.of_execution(span.attributes), **origin.attributes}
    return Execution(
        id=span.trace_id,
        workflow="" if span.parent_id is not None else origin.workflow or span.name,
        status=span.status,
        started_at=span.start,
        finished_at=span.end,
        trigger=_TRIGGERS.get(span.op) or ("queue" if span.op.startswith("queue.task.") else None),
        agent=agent,
        user=origin.user,
        session=session,
        environment=origin.environment,
        release=origin.release,
        input=content.input_of(span.attributes),
        output=content.output_of(span.attributes),
        attributes=raw(attributes) if attributes else NOTHING,
    )


def _running(span: Span, origin: Origin, name: str, *, agent: str | None, session: str | None) -> Execution:
    """Report what is known before the segment has come; an empty workflow leaves the name open."""
    return Execution(
        id=span.trace_id,
        workflow=origin.workflow or name,
        status="running",
        agent=agent,
        user=origin.user,
        session=session,
        environment=origin.environment,
        release=origin.release,
    )


def _step(span: Span, kind: StepKind | None) -> Step:
    """Make the step of a span; `kind` is None for one that has nothing to do with AI, in which no content is looked for."""
    return Step(
        id=span.span_id,
        execution_id=span.trace_id,
        name=span.name,
        kind=kind or kind_of(span),
        parent_id=span.parent_id,
        status=span.status,
        started_at=span.start,
        finished_at=span.end,
        input=NOTHING if kind is None else content.input_of(span.attributes),
        output=NOTHING if kind is None else content.output_of(span.attributes),
        attributes=content.of_step(span.attributes, span.op),
    )
