"""What kind of step a span is, by its operation: https://develop.sentry.dev/sdk/telemetry/traces/span-operations/."""

from __future__ import annotations

from pilothouse.sdk import StepKind
from pilothouse_sentry.spans import Span

OPERATION = "gen_ai.operation.name"
_OPERATIONS: dict[str, StepKind] = {
    "invoke_agent": "agent", "create_agent": "agent", "execute_tool": "tool", "handoff": "other", "pipeline": "task",
    "invoke_workflow": "task", "retrieval": "retrieval", "rerank": "retrieval", "count_tokens": "other", "models": "other",
}  # fmt: skip
# Names from before there was `gen_ai`
_OLD_OPERATIONS: dict[str, StepKind] = {"run": "agent", "tool": "tool", "pipeline": "task"}
_TASKS = ("workflow", "queue", "function", "task", "cron", "celery")
_MODELS = ("gen_ai.request.model", "gen_ai.response.model", "ai.model_id")


def kind_of(span: Span) -> StepKind:
    """Return the kind of step that a span is."""
    family, _, rest = span.op.partition(".")
    named = span.attributes.get(OPERATION)
    if isinstance(named, str) and named in _OPERATIONS:
        return _OPERATIONS[named]
    if family == "gen_ai":
        return _OPERATIONS.get(rest, "llm")
    if family == "ai":
        return _OLD_OPERATIONS.get(rest.partition(".")[0], "llm")
    if named is not None or any(name in span.attributes for name in _MODELS):
        return "llm"
    return "task" if family in _TASKS else "other"


def is_ai(span: Span) -> bool:
    """Say whether a span is of a model, an agent or a tool: of others neither content nor tokens are read."""
    return span.op.startswith(("gen_ai.", "ai.")) or OPERATION in span.attributes or any(
        name in span.attributes for name in _MODELS
    )
