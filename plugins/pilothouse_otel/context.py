"""Whom and what a span belongs to: workflow, agent, user, session, environment and release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pilothouse.sdk import StepKind
from pilothouse_otel.kinds import OPENINFERENCE_KIND, OPERATION, TRACELOOP_KIND
from pilothouse_otel.spans import CONSUMER, SERVER, Attributes, Span
from pilothouse_otel.values import first_text

USER = (
    "user.id", "langfuse.user.id", "enduser.id", "traceloop.association.properties.user_id", "gen_ai.user", "llm.user",
    "ai.telemetry.metadata.userId",
)  # fmt: skip
SESSION = (
    "gen_ai.conversation.id", "session.id", "langfuse.session.id", "traceloop.association.properties.session_id",
    "traceloop.association.properties.thread_id", "ai.telemetry.metadata.sessionId", "gcp.vertex.agent.session_id",
)  # fmt: skip
ENVIRONMENT = ("deployment.environment.name", "deployment.environment", "langfuse.environment")
RELEASE = ("service.version", "langfuse.release")
_WORKFLOW = ("gen_ai.workflow.name", "langfuse.trace.name", "traceloop.workflow.name", "ai.telemetry.functionId")
_AGENT = ("gen_ai.agent.name", "agent.name", "agent_name", "graph.node.id", "traceloop.entity.name")
_TAGS = ("langfuse.trace.metadata.", "langfuse.trace.tags", "traceloop.association.properties.", "ai.telemetry.metadata.",
         "metadata", "tag.tags", "logfire.tags")  # fmt: skip
_TRIGGERS = {SERVER: "http", CONSUMER: "queue"}


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one trace beyond its single spans. `tags` are the free ones that people set."""

    workflow: str | None
    agent: str | None
    user: str | None
    session: str | None
    environment: str | None
    release: str | None
    tags: dict[str, Any]


def named_workflow(span: Span) -> str | None:
    """Return the workflow that a span names; any span of a trace may."""
    named = first_text(span.attributes, _WORKFLOW)
    if named is None and span.attributes.get(TRACELOOP_KIND) == "workflow":
        return first_text(span.attributes, ("traceloop.entity.name",))
    return named


def workflow_of_root(span: Span) -> str:
    """Return the workflow's name as the root span has it: named, the agent that it invokes, or the span's own name."""
    named = named_workflow(span)
    invokes = span.attributes.get(OPERATION) == "invoke_agent" or span.attributes.get(OPENINFERENCE_KIND) == "AGENT"
    if named is None and invokes:
        named = first_text(span.attributes, ("gen_ai.agent.name", "agent.name"))
    return named or first_text({"name": span.name}, ("name",)) or "unnamed"


def agent_of(span: Span, kind: StepKind) -> str | None:
    """Return the agent that a span stands for, or that it says it belongs to."""
    return named_agent(span, kind) or (first_text({"name": span.name}, ("name",)) if kind == "agent" else None)


def named_agent(span: Span, kind: StepKind) -> str | None:
    """Return the agent that a span names."""
    return first_text(span.attributes, _AGENT if kind == "agent" else ("gen_ai.agent.name",))


def user_of(attributes: Attributes) -> str | None:
    """Return the user that a span names."""
    return first_text(attributes, USER)


def session_of(attributes: Attributes) -> str | None:
    """Return the session or conversation that a span names."""
    return first_text(attributes, SESSION)


def trigger_of(span: Span) -> str | None:
    """Return what set a root span off, where its kind tells."""
    return first_text(span.attributes, ("faas.trigger",)) or _TRIGGERS.get(span.kind)


def context_of(spans: Mapping[str, Span], kinds: Mapping[str, StepKind]) -> Context:
    """Return what the spans of one trace, as far as they are in one request, say of it together.

    `kinds` has the spans that are of an AI dialect. Where several name one thing the one nearest to the root counts; a span
    that stands for an agent without naming it, as that of a crew does, only where none is named.
    """
    downwards = sorted(spans.values(), key=lambda span: (span.parent_id in spans, span.start or 0))
    root = downwards[0]
    said: Attributes = {}
    for span in reversed(downwards):
        said.update(span.attributes)
    ai = [span for span in downwards if span.span_id in kinds]
    agents = [span for span in ai if kinds[span.span_id] == "agent"] or ai
    return Context(
        workflow=next((named for span in ai if (named := named_workflow(span)) is not None), None),
        agent=next((agent for of in (named_agent, agent_of) for one in agents if (agent := of(one, kinds[one.span_id]))), None),
        user=user_of(said),
        session=session_of(said),
        environment=first_text(said, ENVIRONMENT) or first_text(root.resource, ENVIRONMENT),
        release=first_text(said, ("langfuse.release",)) or first_text(root.resource, RELEASE),
        tags={name: value for name, value in said.items() if name.startswith(_TAGS)} if ai else {},
    )
