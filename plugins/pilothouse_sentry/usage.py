"""The tokens that a span reports, of whichever dialect: which fields, and what includes what.

Python's SDK writes `gen_ai.usage.input_tokens.cached`, Node's `gen_ai.usage.cache_read.input_tokens`; input includes what was
cached in both, output includes reasoning. Sums on agents are provisional: the recorder counts them while no call is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pilothouse.sdk import StepKind, TokenUsage
from pilothouse_sentry.spans import Span
from pilothouse_sentry.values import Json, first_text, first_whole

_PROMPT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "ai.prompt_tokens.used", "ai_prompt_tokens_used")
_COMPLETION = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "ai.completion_tokens.used", "ai_completion_tokens_used",
)  # fmt: skip
_TOTAL = ("gen_ai.usage.total_tokens", "ai.total_tokens.used", "ai_total_tokens_used")
_CACHED = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.input_tokens.cached", "gen_ai.usage.cache_read_input_tokens",
)  # fmt: skip
_CACHE_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.input_tokens.cache_write", "gen_ai.usage.cache_creation_input_tokens",
)  # fmt: skip
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.output_tokens.reasoning", "gen_ai.usage.reasoning_tokens",
)  # fmt: skip
_ANSWERED, _ASKED = ("gen_ai.response.model",), ("gen_ai.request.model", "ai.model_id")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
AGENT = ("gen_ai.agent.name", "agent", "tags.agent")
USER = ("user.id", "user.email")
UNKNOWN_MODEL = "unknown"
ORIGIN = "sentry.origin"
SOURCE, NOT_REPORTED = "gen_ai", "none"


def usages_of(spans: Mapping[str, Span], kinds: Mapping[str, StepKind], *, agent: str | None) -> list[tuple[Span, TokenUsage]]:
    """Return the usage of one trace's spans, each with its span; `agent` is the one that the trace names.

    A call that ended without telling of tokens, because it failed or was streamed without them, is a call of none.
    """
    calls = {key: _parent(spans[key], spans, kinds) for key, kind in kinds.items() if kind == "llm"}
    # calls that another span tells of too, below them; of two that are each below the other, neither
    around = {parent for key, parent in calls.items() if parent in calls and calls[parent] != key}
    found = []
    for key, kind in kinds.items():
        span = spans[key]
        if span.end is None or not (_reports(span.attributes) or (kind == "llm" and key not in around)):
            continue
        usage = _usage(span, kind, _agent(span, spans, kinds) or agent)
        found.append((span, msgspec.structs.replace(usage, parent_id=calls.get(key, span.parent_id))))
    return found


def _parent(span: Span, spans: Mapping[str, Span], kinds: Mapping[str, StepKind]) -> str | None:
    """Return the step that a call is a part of. Python's SDK hangs calls that run side by side one under the other: what one
    integration (`sentry.origin`) tells of inside of its own call is another call there.
    """
    parent, seen = span.parent_id, {span.span_id}
    if span.attributes.get("sentry.sdk.name") != "sentry.python":
        return parent
    while parent is not None and parent not in seen and kinds.get(parent) == "llm":
        if spans[parent].attributes.get(ORIGIN) != span.attributes.get(ORIGIN):
            break
        seen.add(parent)
        parent = spans[parent].parent_id
    return parent


def _reports(attributes: Json) -> bool:
    """Say whether a span that is no call tells of tokens; a sum of none says nothing."""
    return any(first_whole(attributes, names) for names in (_PROMPT, _COMPLETION, _TOTAL))


def _usage(span: Span, kind: StepKind, agent: str | None) -> TokenUsage:
    attributes = span.attributes
    prompt, completion, total = (first_whole(attributes, names) for names in (_PROMPT, _COMPLETION, _TOTAL))
    if prompt is None and total is not None:
        prompt = max(total - (completion or 0), 0)
    cached, written = first_whole(attributes, _CACHED), first_whole(attributes, _CACHE_WRITE)
    reasoning = first_whole(attributes, _REASONING)
    asked, answered = first_text(attributes, _ASKED), first_text(attributes, _ANSWERED)
    told = prompt is not None or completion is not None
    return TokenUsage(
        id=f"{span.trace_id}-{span.span_id}"[:128],
        model=answered or asked or UNKNOWN_MODEL,
        prompt_tokens=_with_parts(prompt or 0, (cached or 0) + (written or 0)),
        completion_tokens=_with_parts(completion or 0, reasoning or 0),
        provider=_provider(attributes),
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        response_id=first_text(attributes, ("gen_ai.response.id",)),
        execution_id=span.trace_id,
        agent=agent,
        user=first_text(attributes, USER),
        latency_ms=float(span.end - span.start) if span.start is not None and span.end is not None else None,
        at=span.end,
        request_model=asked if asked != answered and answered is not None else None,
        usage_source=SOURCE if told else NOT_REPORTED,
        provisional=kind != "llm",
        step_id=span.span_id,
        parent_id=span.parent_id,
    )


def _with_parts(total: int, parts: int) -> int:
    """Make the whole hold its parts: where they are more than it, the source counted them beside it."""
    return total + parts if parts > total else total


def _provider(attributes: Json) -> str | None:
    """Return the provider in lower case; Vercel's SDK (`openai.responses`) and LangChain (`openai-chat`) add the interface."""
    found = first_text(attributes, _PROVIDER)
    if found is None:
        return None
    return found.lower().partition(".")[0] if "vercel.ai.model.provider" in attributes else found.lower().removesuffix("-chat")


def _agent(span: Span, spans: Mapping[str, Span], kinds: Mapping[str, StepKind]) -> str | None:
    """Return the agent that a call belongs to: its own word, else the nearest agent above it."""
    seen: set[str] = set()
    above: Span | None = span
    while above is not None and above.span_id not in seen:
        seen.add(above.span_id)
        if (named := agent_of(above, kinds.get(above.span_id))) is not None:
            return named
        above = spans.get(above.parent_id or "")
    return None


def agent_of(span: Span, kind: StepKind | None, names: Sequence[str] = AGENT) -> str | None:
    """Return the agent that a span names; one that is an agent's run without a name is named by itself."""
    return first_text(span.attributes, names) or (span.name if kind == "agent" else None)
