"""The tokens that a span reports, of whichever dialect: which fields, and what includes what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pilothouse.sdk import parse_usd, to_usd
from pilothouse_otel.spans import Attributes
from pilothouse_otel.values import amount, first_text, first_whole, whole

CACHE_WRITTEN, KEPT_FOR = "cache_creation_input_tokens", "cache_creation_ephemeral_"
# The provider's own usage, beside the figures that Logfire and LiteLLM make of it; the latter as Python writes a map
RAW = ("gen_ai.usage.raw", "metadata.usage_object")
GEMINI = "gcp.vertex.agent.llm_response"  # Gemini's own answer, as Google's ADK has it up to version 1
LANGFUSE_USAGE, LANGFUSE_COST = "langfuse.observation.usage_details", "langfuse.observation.cost_details"

# One row a figure: the newest name first, each with the source that it tells of.
_PROMPT = {
    "gen_ai.usage.input_tokens": "gen_ai", "gen_ai.usage.prompt_tokens": "gen_ai", "llm.token_count.prompt": "openinference",
    "llm.usage.prompt_tokens": "llm", "ai.usage.inputTokens": "vercel-ai", "ai.usage.promptTokens": "vercel-ai",
}  # fmt: skip
_COMPLETION = {
    "gen_ai.usage.output_tokens": "gen_ai", "gen_ai.usage.completion_tokens": "gen_ai",
    "llm.token_count.completion": "openinference", "llm.usage.completion_tokens": "llm", "ai.usage.outputTokens": "vercel-ai",
    "ai.usage.completionTokens": "vercel-ai",
}  # fmt: skip
_TOTAL = {
    "gen_ai.usage.total_tokens": "gen_ai", "llm.token_count.total": "openinference", "llm.usage.total_tokens": "llm",
    "ai.usage.totalTokens": "vercel-ai", "ai.usage.tokens": "vercel-ai",
}  # fmt: skip
_CACHED = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.details.cache_read_tokens", "gen_ai.usage.details.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read", "llm.usage.cache_read_input_tokens",
    "ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens",
)  # fmt: skip
_CACHE_WRITE = (
    "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.input_tokens.cache_write",
    "gen_ai.usage.details.cache_write_tokens", "gen_ai.usage.details.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write", "llm.usage.cache_creation_input_tokens",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
)  # fmt: skip
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.details.reasoning_tokens", "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens",
    "ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens",
)  # fmt: skip
_CACHE_WRITE_1H = ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",)
_COST = ("operation.cost", "gen_ai.usage.cost", "gen_ai.cost.total_cost", "llm.cost.total")
_ANSWERED = (
    "gen_ai.response.model", "llm.response.model_name", "ai.response.model", "langfuse.observation.model.name",
    "llm.model_name", "embedding.model_name",
)  # fmt: skip
_ASKED = (
    "gen_ai.request.model", "llm.request.model_name", "ai.model.id", "model_name",
    "traceloop.association.properties.ls_model_name",
)  # fmt: skip
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider")
_RESPONSE = ("gen_ai.response.id", "ai.response.id")
_TIER = ("openai.response.service_tier", "gen_ai.openai.response.service_tier", "anthropic.response.service_tier")
UNKNOWN_MODEL = "unknown"
NOT_REPORTED = "none"  # the source of a call that told no usage


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a span says of tokens. `prompt` includes cached and cache-write tokens, `completion` includes reasoning."""

    source: str
    prompt: int = 0
    completion: int = 0
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    cost: str | None = None

    @property
    def total(self) -> int:
        """All tokens."""
        return self.prompt + self.completion


class Fields(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which of the names above a set of attribute names has, each row in its order."""

    prompt: tuple[str, ...]
    completion: tuple[str, ...]
    total: tuple[str, ...]
    cached: tuple[str, ...]
    cache_write: tuple[str, ...]
    cache_write_1h: tuple[str, ...]
    reasoning: tuple[str, ...]
    cost: tuple[str, ...]
    answered: tuple[str, ...]
    asked: tuple[str, ...]
    provider: tuple[str, ...]
    response: tuple[str, ...]
    tier: tuple[str, ...]
    langfuse: bool
    raw: tuple[str, ...]
    gemini: bool

    @property
    def reported(self) -> bool:
        """Say whether any of the names is one of usage."""
        return bool(self.langfuse or self.prompt or self.completion or self.total)


def fields_of(names: Sequence[str]) -> Fields:
    """Work out which of the names above are there."""
    there = frozenset(names)

    def present(row: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in row if name in there)

    return Fields(
        prompt=present(_PROMPT), completion=present(_COMPLETION), total=present(_TOTAL), cached=present(_CACHED),
        cache_write=present(_CACHE_WRITE), cache_write_1h=present(_CACHE_WRITE_1H), reasoning=present(_REASONING),
        cost=present(_COST), answered=present(_ANSWERED), asked=present(_ASKED), provider=present(_PROVIDER),
        response=present(_RESPONSE), tier=present(_TIER), langfuse=LANGFUSE_USAGE in there, raw=present(RAW),
        gemini=GEMINI in there,
    )  # fmt: skip


def usage_of(attributes: Attributes, fields: Fields) -> Usage | None:
    """Return the usage that a span reports; None where it reports none."""
    if fields.langfuse:
        found = usage_of_details(an_object(attributes[LANGFUSE_USAGE]), "langfuse")
        if found is not None:
            return msgspec.structs.replace(found, cost=_cost_of_details(attributes, found))
    if fields.gemini:
        found = _gemini(an_object(an_object(attributes[GEMINI]).get("usage_metadata")))
        if found is not None:
            return found
    prompt, source = _pick(attributes, fields.prompt, _PROMPT)
    completion, other = _pick(attributes, fields.completion, _COMPLETION)
    total, of_total = _pick(attributes, fields.total, _TOTAL)
    if prompt is None and completion is None and total is None:
        return None
    if prompt is None and total is not None:
        prompt = max(total - (completion or 0), 0)
    usage = complete(
        Usage(
            source=source or other or of_total,
            prompt=prompt or 0,
            completion=completion or 0,
            cached=first_whole(attributes, fields.cached),
            cache_write=first_whole(attributes, fields.cache_write),
            cache_write_1h=first_whole(attributes, fields.cache_write_1h),
            reasoning=first_whole(attributes, fields.reasoning),
            cost=cost_text(first_amount(attributes, fields.cost), (prompt or 0) + (completion or 0)),
        )
    )
    usage = _with_the_rest(usage, total or 0)
    return _with_parts_of(usage_of_details(an_object(attributes[fields.raw[0]]), source), usage) if fields.raw else usage


def _with_the_rest(usage: Usage, total: int) -> Usage:
    """Add what a total has beyond both: Gemini counts thoughts beside its answer, Anthropic the cache beside its input."""
    rest = total - usage.total
    if rest <= 0:
        return usage
    if rest == (usage.cached or 0) + (usage.cache_write or 0):
        return msgspec.structs.replace(usage, prompt=usage.prompt + rest)
    return msgspec.structs.replace(usage, completion=usage.completion + rest)


def _with_parts_of(raw: Usage | None, usage: Usage) -> Usage:
    """Add the parts that only the provider's own words tell, where both speak of the same call."""
    if raw is None or (raw.prompt, raw.completion) != (usage.prompt, usage.completion):
        return usage
    names = ("cached", "cache_write", "cache_write_1h", "reasoning")
    return msgspec.structs.replace(usage, **{name: getattr(raw, name) for name in names if getattr(usage, name) is None})


def complete(usage: Usage) -> Usage:
    """Make the whole hold its parts: where they are more than it, the source counted them beside it."""
    parts = (usage.cached or 0) + (usage.cache_write or 0)
    hour, reasoning = usage.cache_write_1h or 0, usage.reasoning or 0
    if parts <= usage.prompt and reasoning <= usage.completion and hour <= (usage.cache_write or 0):
        return usage
    return msgspec.structs.replace(
        usage,
        prompt=usage.prompt + parts if parts > usage.prompt else usage.prompt,
        completion=usage.completion + reasoning if reasoning > usage.completion else usage.completion,
        cache_write_1h=min(hour, usage.cache_write or 0),
    )


def usage_of_details(details: Mapping[str, Any], source: str) -> Usage | None:
    """Read a usage object as Langfuse takes it: a provider's own body, or parts that exclude each other."""
    for prompt, completion in (("prompt_tokens", "completion_tokens"), ("promptTokens", "completionTokens")):
        if prompt in details or completion in details:
            return _inclusive(details, (prompt, completion), source)
    if "input_tokens" in details or "output_tokens" in details:
        if "input_tokens_details" in details or "output_tokens_details" in details:
            return _inclusive(details, ("input_tokens", "output_tokens"), source)
        return _anthropic(details, source)
    return _exclusive(details, source)


def _inclusive(details: Mapping[str, Any], names: tuple[str, str], source: str) -> Usage:
    """OpenAI's bodies, old and new: input includes what was cached."""
    prompt, completion = names
    of_prompt = an_object(details.get(f"{prompt}_details"))
    of_completion = an_object(details.get(f"{completion}_details"))
    return complete(
        Usage(
            source=source,
            prompt=whole(details.get(prompt)) or 0,
            completion=whole(details.get(completion)) or 0,
            cached=first_whole(of_prompt, ("cached_tokens",)),
            cache_write=first_whole(of_prompt, ("cache_write_tokens",)),
            reasoning=first_whole(of_completion, ("reasoning_tokens",)),
        )
    )


def _gemini(details: Mapping[str, Any]) -> Usage | None:
    """Gemini's body: input includes what was cached, the answer and the thoughts before it are beside each other.

    The total tells better than these: by way of LiteLLM the answer includes its thoughts.
    """
    prompt = first_whole(details, ("prompt_token_count",))
    if prompt is None:
        return None
    prompt += first_whole(details, ("tool_use_prompt_token_count",)) or 0
    thoughts = first_whole(details, ("thoughts_token_count",))
    total = first_whole(details, ("total_token_count",))
    answer = (first_whole(details, ("candidates_token_count",)) or 0) + (thoughts or 0)
    return complete(
        Usage(
            source="gen_ai",
            prompt=prompt,
            completion=answer if total is None else max(total - prompt, 0),
            cached=first_whole(details, ("cached_content_token_count",)),
            reasoning=thoughts,
        )
    )


def _anthropic(details: Mapping[str, Any], source: str) -> Usage:
    """Anthropic's body: input excludes what was cached and what was written to the cache."""
    cached = first_whole(details, ("cache_read_input_tokens",))
    written = first_whole(details, ("cache_creation_input_tokens",))
    return Usage(
        source=source,
        prompt=(whole(details.get("input_tokens")) or 0) + (cached or 0) + (written or 0),
        completion=whole(details.get("output_tokens")) or 0,
        cached=cached,
        cache_write=written,
    )


def _exclusive(details: Mapping[str, Any], source: str) -> Usage | None:
    """Langfuse's own parts: `input`, `output` and any number of finer ones beside them."""
    counts = {str(name): count for name, value in details.items() if (count := whole(value)) is not None}
    parts = {name: count for name, count in counts.items() if "cost" not in name.lower()}
    hour = None
    if CACHE_WRITTEN in parts:  # by way of LangChain these say a second time, by how long it is kept, what was written
        hour = parts.get(f"{KEPT_FOR}1h_input_tokens")
        parts = {name: count for name, count in parts.items() if not name.startswith(KEPT_FOR)}
    inputs = {name: count for name, count in parts.items() if name.startswith(("input", "cache"))}
    outputs = {name: count for name, count in parts.items() if name.startswith("output")}
    if not inputs and not outputs:
        total = parts.get("total")
        return Usage(source=source, prompt=total) if total is not None else None
    return complete(
        Usage(
            source=source,
            prompt=sum(inputs.values()),
            completion=sum(outputs.values()),
            cached=_sum(inputs, ("cache_read", "cached")),
            cache_write=_sum(inputs, ("cache_creation", "cache_write")),
            cache_write_1h=hour,
            reasoning=_sum(outputs, ("reasoning",)),
        )
    )


def _sum(parts: Mapping[str, int], marks: tuple[str, ...]) -> int | None:
    found = [count for name, count in parts.items() if any(mark in name for mark in marks)]
    return sum(found) if found else None


def _cost_of_details(attributes: Attributes, usage: Usage) -> str | None:
    details = an_object(attributes.get(LANGFUSE_COST))
    costs = [cost for name, value in details.items() if name != "total" and (cost := amount(value)) is not None]
    return cost_text(amount(details.get("total")) or (sum(costs) if costs else None), usage.total)


def cost_text(cost: float | None, tokens: int) -> str | None:
    """Return a cost in USD as decimal text; one of 0 for tokens that were used, or beyond any bill, is an unknown one."""
    if cost is None or (cost == 0 and tokens > 0):
        return None
    try:
        return to_usd(parse_usd(f"{cost:.9f}"))
    except ValueError:
        return None


def first_amount(attributes: Attributes, names: Sequence[str]) -> float | None:
    """Return the first of the attributes that is an amount."""
    return next((found for name in names if (found := amount(attributes.get(name))) is not None), None)


def model_of(attributes: Attributes, fields: Fields) -> tuple[str, str | None]:
    """Return the model that answered, else the one that was asked for, and the latter where it differs."""
    asked = first_text(attributes, fields.asked)
    answered = first_text(attributes, fields.answered)
    return answered or asked or UNKNOWN_MODEL, asked if asked != answered and answered is not None else None


def provider_of(attributes: Attributes, fields: Fields) -> str | None:
    """Return the provider in lower case; the AI SDK adds the interface to it (`openai.chat`)."""
    found = first_text(attributes, fields.provider)
    if found is None:
        return None
    return found.lower().partition(".")[0] if "ai.operationId" in attributes else found.lower()


def tier_of(attributes: Attributes, fields: Fields) -> str | None:
    """Return the service tier that answered."""
    return first_text(attributes, fields.tier)


def response_of(attributes: Attributes, fields: Fields) -> str | None:
    """Return the provider's id of the answer; OpenInference has it inside of the answer only, LangChain's deeper in there."""
    found = first_text(attributes, fields.response)
    body = attributes.get("output.value")
    if found is None and isinstance(body, str) and body.startswith("{") and "openinference.span.kind" in attributes:
        answer = an_object(body)
        ids = (an_object(part).get("id") for part in (answer, answer.get("llm_output"), _metadata_of_langchain(answer)))
        found = next((first_text({"id": one}, ("id",)) for one in ids if isinstance(one, str)), None)
    return found


def _metadata_of_langchain(answer: Mapping[str, Any]) -> Any:
    """Return what the provider said beside the only message of an answer; the Responses API's id stands there alone."""
    inner: Any = answer.get("generations")
    while isinstance(inner, list) and len(inner) == 1:
        inner = inner[0]
    for name in ("message", "kwargs", "response_metadata"):
        inner = an_object(inner).get(name)
    return inner


def _pick(attributes: Attributes, names: Sequence[str], sources: Mapping[str, str]) -> tuple[int | None, str]:
    for name in names:
        count = whole(attributes[name])
        if count is not None:
            return count, sources[name]
    return None, ""


def _of_python(text: str) -> str:
    """Write in JSON what Python wrote of a map of names and numbers."""
    return text.replace("'", '"').replace("None", "null").replace("True", "true").replace("False", "false")


def an_object(value: Any) -> Mapping[str, Any]:
    """Return a map that is one already or stands in JSON text or Python's; an empty one for all else."""
    if isinstance(value, str):
        try:
            value = json.loads(_of_python(value) if value.startswith("{'") else value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}
