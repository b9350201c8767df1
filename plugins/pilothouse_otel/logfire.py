"""Logfire's spans of the OpenAI Agents SDK in OpenTelemetry's names: what they are stands in their templates alone.

https://logfire.pydantic.dev/docs/integrations/llms/openai/#openai-agents
"""

from __future__ import annotations

from pilothouse_otel.kinds import OPERATION
from pilothouse_otel.spans import ERROR, Attributes, Span

TEMPLATE = "logfire.msg_template"
# By template: the operation, and the names of what else is told
_AGENTS: dict[str, tuple[str, dict[str, str]]] = {
    "OpenAI Agents trace: {name}": ("invoke_workflow", {"name": "gen_ai.workflow.name", "group_id": "session.id"}),
    "Agent run: {name!r}": ("invoke_agent", {"name": "gen_ai.agent.name"}),
    "Function: {name}": (
        "execute_tool",
        {"name": "gen_ai.tool.name", "input": "gen_ai.tool.call.arguments", "output": "gen_ai.tool.call.result"},
    ),
    "Handoff: {from_agent} → {to_agent}": ("handoff", {}),
}
_ANSWERED = ("gen_ai.response.id", "gen_ai.output.messages", "response_data")


def in_common_names(attributes: Attributes) -> Attributes:
    """Return a span's attributes in OpenTelemetry's names; what has none there keeps its own."""
    known = _AGENTS.get(str(attributes[TEMPLATE]))
    if known is None:
        return attributes
    operation, names = known
    return {OPERATION: operation, **{names.get(name, name): value for name, value in attributes.items()}}


def is_told_at_its_end(span: Span) -> bool:
    """Say whether a call's span only tells that an answer began to stream: the answer is told in a line of log of its own."""
    return TEMPLATE in span.attributes and span.status != ERROR and not any(name in span.attributes for name in _ANSWERED)
