"""MLflow's spans in OpenTelemetry's names. Each of their attributes is a JSON text: `"AGENT"`, `{"input_tokens": 100}`.

https://mlflow.org/docs/latest/genai/tracing/opentelemetry. With `MLFLOW_ENABLE_OTEL_GENAI_SEMCONV` it writes common names
itself, but then leaves out what was cached.
"""

from __future__ import annotations

import json
from typing import Any

from pilothouse_otel.kinds import OPERATION, TRACELOOP_KIND
from pilothouse_otel.spans import Attributes
from pilothouse_otel.usage import an_object, usage_of_details
from pilothouse_otel.values import first_text, first_whole

TYPE = "mlflow.spanType"
CHUNK = "mlflow.chunk."  # the beginning of the names of events that only say that a piece of a stream came
_INPUTS, _OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
_USAGE, _COST = "mlflow.chat.tokenUsage", "mlflow.llm.cost"
_MODEL, _PROVIDER = "mlflow.llm.model", "mlflow.llm.provider"
_TAKEN = frozenset({TYPE, _INPUTS, _OUTPUTS, _USAGE, _COST, _MODEL, _PROVIDER})
_CALLS = {"CHAT_MODEL": "chat", "LLM": "chat", "EMBEDDING": "embeddings"}
_OPERATIONS = {**_CALLS, "AGENT": "invoke_agent", "TOOL": "execute_tool", "RETRIEVER": "retrieval", "RERANKER": "retrieval"}


def in_common_names(attributes: Attributes) -> Attributes:
    """Return a span's attributes in OpenTelemetry's names; what has none there keeps its own."""
    kind = str(_read(attributes.get(TYPE)))
    operation = _OPERATIONS.get(kind)
    named: Attributes = {
        OPERATION: operation,
        TRACELOOP_KIND: None if operation else "task",
        "traceloop.entity.input": _read(attributes.get(_INPUTS)),
        "traceloop.entity.output": _read(attributes.get(_OUTPUTS)),
        **(_of_call(attributes) if kind in _CALLS else {}),
    }
    rest = {name: value for name, value in attributes.items() if name not in _TAKEN}
    return rest | {name: value for name, value in named.items() if value is not None}


def _of_call(attributes: Attributes) -> Attributes:
    """Read a model call. Its input includes what was cached; the parts of its output stand in the answer alone."""
    usage, answer = an_object(attributes.get(_USAGE)), an_object(attributes.get(_OUTPUTS))
    own = usage_of_details(an_object(answer.get("usage")), "mlflow")
    asked, answered = _read(attributes.get("model")), _read(attributes.get(_MODEL))
    return {
        "gen_ai.request.model": asked if isinstance(asked, str) else answered,
        "gen_ai.response.model": answered,
        "gen_ai.provider.name": _read(attributes.get(_PROVIDER)),
        "gen_ai.response.id": first_text(answer, ("id",)),
        "gen_ai.usage.input_tokens": first_whole(usage, ("input_tokens",)) if usage or own is None else own.prompt,
        "gen_ai.usage.output_tokens": first_whole(usage, ("output_tokens",)) if usage or own is None else own.completion,
        "gen_ai.usage.cache_read.input_tokens": first_whole(usage, ("cache_read_input_tokens",)),
        "gen_ai.usage.cache_write.input_tokens": first_whole(usage, ("cache_creation_input_tokens",)),
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": first_whole(
            usage, ("cache_creation_input_tokens_above_1hr",)
        ),
        "gen_ai.usage.reasoning.output_tokens": own.reasoning if own is not None else None,
        "gen_ai.usage.cost": an_object(attributes.get(_COST)).get("total_cost"),
    }


def _read(value: Any) -> Any:
    """Return the text that stands in a JSON text; what holds more is read where it is used."""
    if not isinstance(value, str) or value[:1] != '"':
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
