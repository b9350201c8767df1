"""From a call to signals: a step of its execution, the usage, the error; and the execution where it is the call's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from pilothouse.sdk import (
    Error,
    Execution,
    PilothouseError,
    Signal,
    Source,
    Step,
    StepKind,
    TokenUsage,
    clean_text,
    raw,
    runtime,
    to_usd,
)
from pilothouse_gateway import service
from pilothouse_gateway.calls import Call

SOURCE = "gateway"  # what a usage says of where it comes from
PARTIAL = "gateway_partial"  # the answer broke off, and this is what was told before
LONGEST = 255
SURE_ID = 20  # characters; local servers count or draw from a thousand (`chatcmpl-123`), and such an id names no call
NAMES = {
    "chat": "chat", "responses": "responses", "embeddings": "embeddings", "messages": "messages", "models": "list models",
    "count_tokens": "count tokens",
}  # fmt: skip
USING = frozenset({"chat", "responses", "embeddings", "messages"})  # operations that use tokens
KEPT_IDS = 10_000


class Recording:
    """Stores calls of one application. Remembers the answers' ids: one that comes again names another call."""

    def __init__(self) -> None:
        """Start with no id known."""
        self._answers: dict[str, str] = {}

    def store(self, calls: Sequence[Call]) -> None:
        """Record calls, each completely; inside an application context. Raises PilothouseError in an outage."""
        ordered = sorted(calls, key=_source_of)
        for (token_id, client), group in groupby(ordered, key=_source_of):
            found = list(group)
            try:
                self._submit(found, Source(token_id or None, client))
            except PilothouseError:
                raise
            except Exception as fault:  # noqa: BLE001 - one that nobody can store must not keep the others from it
                runtime().registry.guard.note("gateway", "record", fault)
            else:
                runtime().registry.guard.note_success("gateway", "record")

    def _submit(self, calls: Sequence[Call], source: Source) -> None:
        signals = [signal for call in calls for signal in self._signals(call)]
        runtime().ingest.submit(enumerate(signals), source)
        service.keep([call for call in calls if call.input is not None or call.output is not None])

    def _signals(self, call: Call) -> Iterable[Signal]:
        usage = self._usage(call)
        yield from _execution(call)
        yield _step(call, usage)
        if usage is not None:
            yield usage
        if call.error_type is not None:
            yield _error(call)

    def _usage(self, call: Call) -> TokenUsage | None:
        used = call.used
        if used is None or call.operation not in USING:
            return None
        return TokenUsage(
            id=call.usage_id,
            model=model_of(call) or "unknown",
            request_model=_short(call.request_model),
            prompt_tokens=used.prompt,
            completion_tokens=used.completion,
            cached_tokens=used.cached,
            cache_write_tokens=used.cache_write,
            cache_write_1h_tokens=used.cache_write_1h,
            reasoning_tokens=used.reasoning,
            provider=call.service,
            service_tier=_short(call.service_tier),
            response_id=self._answer_id(call),
            execution_id=call.execution_id,
            workflow=call.workflow,
            agent=call.agent,
            user=call.user,
            key_id=call.key_id,
            latency_ms=call.latency_ms,
            at=call.started_at,
            usage_source=PARTIAL if used.partial else SOURCE,
        )

    def _answer_id(self, call: Call) -> str | None:
        found = call.response_id
        if found is None or len(found) < SURE_ID or not found.isprintable():
            return None
        if self._answers.setdefault(found, call.id) != call.id:
            return None
        if len(self._answers) > KEPT_IDS:
            self._answers.pop(next(iter(self._answers)))
        return found


def model_of(call: Call) -> str | None:
    """Return the model that answered, else the one that was asked for."""
    return _short(call.model) or _short(call.request_model)


def _source_of(call: Call) -> tuple[str, str]:
    return call.token_id or "", call.client


def _execution(call: Call) -> Iterable[Execution]:
    """Make the report of the execution: a whole one of the call's own, else but the names that the caller told."""
    if call.own:
        yield Execution(
            id=call.execution_id, workflow=call.workflow or SOURCE, status=call.state, started_at=call.started_at,
            finished_at=call.finished_at, trigger=SOURCE, agent=call.agent, user=call.user,
        )  # fmt: skip
    elif call.workflow is not None:
        yield Execution(id=call.execution_id, workflow=call.workflow, status="running", agent=call.agent, user=call.user)


def _step(call: Call, usage: TokenUsage | None) -> Step:
    model, kind = model_of(call), "llm" if call.operation in USING else "other"
    name = " ".join(part for part in (NAMES[call.operation], model) if part)
    return Step(
        id=call.id, execution_id=call.execution_id, name=name[:LONGEST], kind=_kind(kind), status=call.state,
        started_at=call.started_at, finished_at=call.finished_at, attributes=raw(_attributes(call, model, usage)),
    )  # fmt: skip


def _kind(kind: str) -> StepKind:
    return "llm" if kind == "llm" else "other"


def _attributes(call: Call, model: str | None, usage: TokenUsage | None) -> dict[str, Any]:
    """Return what the step tells. Where the provider told no usage, that is said in place of figures."""
    told: dict[str, Any] = {
        "provider": call.service, "operation": call.operation, "model": model, "request_model": _short(call.request_model),
        "stream": call.stream, "agent": call.agent, "key_id": call.key_id, "status_code": call.status,
        "request_id": call.request_id, "response_id": _short(call.response_id), "service_tier": _short(call.service_tier),
        "latency_ms": call.latency_ms, "first_token_ms": call.first_ms, "abandoned": call.abandoned or None,
        "refused_keys": [{"key_id": one.key_id, "status": one.status} for one in call.tried] or None,
    }  # fmt: skip
    if usage is not None and call.used is not None:
        price = runtime().registry.first("price", usage=usage)
        told |= {
            "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens, "cost_usd": to_usd(price.cost_nano) if price else None,
            "usage": "partly told" if call.used.partial else "told",
        }  # fmt: skip
    elif call.state != "running" and call.operation in USING:
        told["usage"] = "not told"
    return {name: value for name, value in told.items() if value is not None}


def _error(call: Call) -> Error:
    about = {"provider": call.service, "operation": call.operation, "model": model_of(call), "status_code": call.status}
    return Error(
        id=f"{call.id}:error",
        error_type=(_short(call.error_type) or "error"),
        message=clean_text(call.error_message or ""),
        at=call.finished_at,
        execution_id=call.execution_id,
        workflow=call.workflow,
        handled=True,
        user=call.user,
        attributes=raw(about),
    )  # fmt: skip


def _short(value: str | None) -> str | None:
    return clean_text(value)[:LONGEST] if value else None
