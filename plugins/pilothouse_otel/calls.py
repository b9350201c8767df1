"""Model calls of one trace become token usage: each call once, sums marked as provisional.

What the same provider call looks like in two spans is told by the response id (the recorder's business), by one being above
the other, or by the same model and tokens and enclosed time. The last counts only for spans of two different
instrumentations of which one at most knows the id: two calls of one model at the same time are nothing unusual.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from pilothouse.sdk import StepKind, TokenUsage
from pilothouse_otel.context import Context, agent_of
from pilothouse_otel.failures import ancestors
from pilothouse_otel.logfire import is_told_at_its_end
from pilothouse_otel.spans import Span
from pilothouse_otel.usage import NOT_REPORTED, UNKNOWN_MODEL, Usage, model_of, provider_of, response_of, tier_of, usage_of
from pilothouse_otel.values import first_text

Kinds = Mapping[str, StepKind]
LONGEST_ID = 128  # OTLP's are far from it, but other doors' clients make ids of their own
_FILLED = (
    "response_id", "service_tier", "provider", "agent", "cost_usd", "cached_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "reasoning_tokens",
)  # fmt: skip
OPEN_CALLS = 64  # calls that may enclose the next one: more at once are looked at no further


def usages_of(spans: Mapping[str, Span], kinds: Kinds, context: Context) -> list[tuple[Span, TokenUsage]]:
    """Return the usage of one trace's spans, each with its span.

    `kinds` holds the kind of each span that is of an AI dialect; `context` is the trace's.
    """
    telling = [spans[key] for key in kinds if spans[key].shape.usage.reported]
    found = ((span.span_id, usage_of(span.attributes, span.shape.usage)) for span in telling)
    reported = {key: usage for key, usage in found if usage is not None and (usage.total or kinds[key] == "llm")}
    silent = _silent_calls(spans, kinds, reported)
    wanted = [(spans[key], usage) for key, usage in reported.items()]
    wanted += [(span, Usage(source=NOT_REPORTED)) for span in silent]
    return [
        (span, make_usage(span, usage, spans, kinds=kinds, user=context.user))
        for span, usage in wanted
        if span.end is not None
    ]


def make_usage(span: Span, usage: Usage, spans: Mapping[str, Span], *, kinds: Kinds, user: str | None) -> TokenUsage:
    """Make the usage signal of a span."""
    attributes, fields = span.attributes, span.shape.usage
    model, asked = model_of(attributes, fields)
    return TokenUsage(
        id=call_id(span),
        model=model,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        provider=provider_of(attributes, fields),
        cached_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        cost_usd=usage.cost,
        response_id=response_of(attributes, fields),
        execution_id=span.trace_id,
        agent=_agent(span, spans, kinds),
        user=first_text(attributes, span.shape.user) or user,
        latency_ms=float(max((span.end or 0) - (span.start or 0), 0)) if span.start else None,
        at=span.end,
        request_model=asked,
        service_tier=tier_of(attributes, fields),
        cache_write_1h_tokens=usage.cache_write_1h,
        usage_source=usage.source,
        provisional=kinds[span.span_id] != "llm",
        step_id=span.span_id,
        parent_id=span.parent_id,
    )


def call_id(span: Span) -> str:
    """Return the id of what a span reports beside its step: of both its ids, which are unique in their trace only."""
    joined = f"{span.trace_id}-{span.span_id}"
    return joined if len(joined) <= LONGEST_ID else hashlib.sha256(joined.encode()).hexdigest()


def _agent(span: Span, spans: Mapping[str, Span], kinds: Kinds) -> str | None:
    """Return the agent that a call belongs to: its own word, else the nearest agent above it."""
    own = agent_of(span, kinds[span.span_id])
    if own is not None:
        return own
    above = (other for other in ancestors(span, spans) if kinds.get(other.span_id) == "agent")
    return next((agent for other in above if (agent := agent_of(other, "agent")) is not None), None)


def _silent_calls(spans: Mapping[str, Span], kinds: Kinds, reported: Mapping[str, Usage]) -> list[Span]:
    """Return the calls that report no usage (they failed, or were streamed without it), each once."""
    calls = {key for key, kind in kinds.items() if kind == "llm"}
    around: set[str] = set()  # whose call is another span too, below it
    silent = []
    for key in calls:
        around.update(other.span_id for other in ancestors(spans[key], spans) if other.span_id in calls)
    for key in kinds:
        if key not in calls or key in reported or key in around or is_told_at_its_end(spans[key]):
            continue
        if not any(other.span_id in reported and other.span_id in calls for other in ancestors(spans[key], spans)):
            silent.append(spans[key])
    return silent


def without_twins(usages: Iterable[tuple[Span, TokenUsage]]) -> list[tuple[Span, TokenUsage]]:
    """Leave out calls that another instrumentation reports too: of one model, with the same tokens, in a span within its span.

    The outer one stays, since that is in the run, with what only the inner one knows: the response's id, by which other doors
    may know the call too, the model that answered, the parts of the tokens.
    """
    pairs = list(usages)
    if len({span.scope for span, _ in pairs}) <= 1:
        return pairs
    kept = {}
    open_calls: dict[tuple[int, int], list[_Call]] = {}
    for span, usage in sorted(pairs, key=lambda pair: (pair[0].start or 0, -(pair[0].end or 0))):
        kept[usage.id] = (span, usage)
        if usage.provisional:
            continue
        around = open_calls.setdefault((usage.prompt_tokens, usage.completion_tokens), [])
        around[:] = [call for call in around if (call.outer.end or 0) >= (span.start or 0)][-OPEN_CALLS:]
        # of calls at the same time one of the very model, and the one that ends next: a later end may belong to a later call
        told = [one for one in around if one.is_told_by(span, usage)]
        call = min(told, key=lambda one: (_asked(one.usage) != _asked(usage), one.outer.end or 0), default=None)
        if call is None:
            around.append(_Call(outer=span, usage=usage, scopes={span.scope}))
            continue
        call.scopes.add(span.scope)
        call.usage = _completed(call.usage, usage)
        kept[call.usage.id] = (call.outer, call.usage)
        del kept[usage.id]
    return list(kept.values())


class _Call(msgspec.Struct):
    """A call by its outermost span, what is known of it, and the instrumentations that told of it."""

    outer: Span
    usage: TokenUsage
    scopes: set[str]

    def is_told_by(self, span: Span, usage: TokenUsage) -> bool:
        """Say whether a span that began later tells of this call."""
        if span.scope in self.scopes or (self.outer.end or 0) < (span.end or 0):
            return False
        if self.usage.response_id is not None and usage.response_id is not None:
            return self.usage.response_id == usage.response_id
        return _alike(_asked(self.usage), _asked(usage))


def _completed(outer: TokenUsage, inner: TokenUsage) -> TokenUsage:
    """Fill in what the outer span of a call does not know and the inner one does."""
    known = {name: getattr(inner, name) for name in _FILLED if getattr(outer, name) is None}
    if outer.model == UNKNOWN_MODEL:
        known |= {"model": inner.model, "request_model": inner.request_model}
    elif outer.request_model is None and inner.model.startswith(outer.model) and inner.model != outer.model:
        known |= {"model": inner.model, "request_model": outer.model}
    return msgspec.structs.replace(outer, **known)


def _asked(usage: TokenUsage) -> str:
    """Return the model that was asked for, as far as it was told."""
    return usage.request_model or usage.model


def _alike(one: str, other: str) -> bool:
    """Say whether two names may be of one model: some instrumentations know only the answered one, which has a date at its
    end, and some, of calls that failed, none.
    """
    return UNKNOWN_MODEL in {one, other} or one.startswith(other) or other.startswith(one)
