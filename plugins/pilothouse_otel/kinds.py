"""What kind of step a span is, in every dialect, and what it is called."""

from __future__ import annotations

from pilothouse.sdk import StepKind
from pilothouse_otel.limits import LONGEST_NAME
from pilothouse_otel.spans import Attributes, Span
from pilothouse_otel.values import cut, first_text

LANGFUSE_TYPE = "langfuse.observation.type"
OPENINFERENCE_KIND = "openinference.span.kind"
TRACELOOP_KIND = "traceloop.span.kind"
OPERATION = "gen_ai.operation.name"
VERCEL_OPERATION = "ai.operationId"
LOGFIRE_TYPE, LOGFIRE_MESSAGE = "logfire.span_type", "logfire.msg"

OBSERVATIONS: dict[str, StepKind] = {
    "generation": "llm", "embedding": "llm", "agent": "agent", "tool": "tool", "retriever": "retrieval", "chain": "task",
    "span": "task", "evaluator": "task", "guardrail": "task", "event": "other",
}  # fmt: skip
_OPENINFERENCE: dict[str, StepKind] = {
    "LLM": "llm", "EMBEDDING": "llm", "AGENT": "agent", "TOOL": "tool", "RETRIEVER": "retrieval", "RERANKER": "retrieval",
    "CHAIN": "task", "GUARDRAIL": "task", "EVALUATOR": "task", "PROMPT": "task",
}  # fmt: skip
_TRACELOOP: dict[str, StepKind] = {"workflow": "task", "task": "task", "agent": "agent", "tool": "tool"}
_OPERATIONS: dict[str, StepKind] = {
    "chat": "llm", "text_completion": "llm", "completion": "llm", "generate_content": "llm", "embeddings": "llm",
    "responses": "llm", "image_generation": "llm", "invoke_agent": "agent", "create_agent": "agent", "invoke_workflow": "task",
    "execute_tool": "tool", "execute_task": "task", "retrieval": "retrieval", "handoff": "other",
    # LiteLLM names its own functions; its proxy calls those with an a
    "embedding": "llm", "anthropic_messages": "llm", "transcription": "llm", "speech": "llm", "rerank": "retrieval",
    "acompletion": "llm", "atext_completion": "llm", "aresponses": "llm", "aembedding": "llm", "aimage_generation": "llm",
    "atranscription": "llm", "aspeech": "llm", "arerank": "retrieval",
}  # fmt: skip
_KINDS = (
    (LANGFUSE_TYPE, OBSERVATIONS), (OPENINFERENCE_KIND, _OPENINFERENCE), (TRACELOOP_KIND, _TRACELOOP), (OPERATION, _OPERATIONS),
)  # fmt: skip
# of model calls before there were operations; what has an operation that is none, or tells of a route alone as Anthropic's
# own spans of count_tokens do, is no such call
_MODEL_MARKS = ("gen_ai.request.model", "gen_ai.response.model", "llm.request.type")
_NO_MARKS = (OPERATION, "http.route")
# LlamaIndex has spans of the kind LLM, too, for putting together what will be sent: that comes out of them, and no answer
_TO_SEND, _ANSWERED = '{"messages": [', ("llm.output_messages.", "llm.token_count.", "llm.finish_reason")

_TOOL = ("gen_ai.tool.name", "tool.name")
UNNAMED = "unnamed"

FAMILIES = (
    "gen_ai.", "llm.", "openinference.", "traceloop.", "langfuse.", "ai.", "logfire.", "input.", "output.", "embedding.",
    "pydantic_ai.", "operation.cost",
)  # fmt: skip


def kind_of(span: Span) -> StepKind:
    """Return the kind of step that a span is."""
    attributes = span.attributes
    for name, kinds in _KINDS:
        value = attributes.get(name)
        if value is not None and (kind := kinds.get(str(value))) is not None:
            return "task" if kind == "llm" and name == OPENINFERENCE_KIND and _prepares(attributes) else kind
    if VERCEL_OPERATION in attributes:
        return _vercel(str(attributes[VERCEL_OPERATION]))
    if not any(name in attributes for name in _NO_MARKS) and any(mark in attributes for mark in _MODEL_MARKS):
        return "llm"
    return "other"


def step_name(span: Span) -> str:
    """Return what the step of a span is called: a tool by its own name where its span has that of a class or function, and
    by Logfire's message a span whose name is the template of it.
    """
    tool = first_text(span.attributes, _TOOL)
    if tool is not None and tool not in span.name:
        return tool
    told = first_text(span.attributes, (LOGFIRE_MESSAGE,)) if "{" in span.name else None
    return told or cut(span.name, LONGEST_NAME) or UNNAMED


def _prepares(attributes: Attributes) -> bool:
    """Say whether a span of OpenInference's only prepares a call."""
    made = attributes.get("output.value")
    return isinstance(made, str) and made.startswith(_TO_SEND) and not any(name.startswith(_ANSWERED) for name in attributes)


def _vercel(operation: str) -> StepKind:
    """Read the AI SDK's operation: `ai.generateText.doGenerate` is a call, `ai.generateText` the loop around its calls."""
    if operation == "ai.toolCall":
        return "tool"
    return "llm" if ".do" in operation else "task"


def is_log(attributes: Attributes) -> bool:
    """Say whether a span only notes that something happened: it has a moment, no duration."""
    return attributes.get(LOGFIRE_TYPE) == "log" or attributes.get(LANGFUSE_TYPE) == "event"


def is_pending(attributes: Attributes) -> bool:
    """Say whether a span announces another one that still runs."""
    return attributes.get(LOGFIRE_TYPE) == "pending_span"
