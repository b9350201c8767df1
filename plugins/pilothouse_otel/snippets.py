"""How OpenTelemetry's, Langfuse's and other tracing clients are pointed at this server."""

from __future__ import annotations

from pilothouse.sdk import Snippet


def _exporters(address: str, token: str) -> str:
    return (
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={address}\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        f'export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20{token}"\n'
        "export OTEL_SERVICE_NAME=my-program"
    )


def _python(address: str, token: str) -> str:
    return (
        "from opentelemetry import trace\n"
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n\n"
        f"{_provider(address, token)}"
        "trace.set_tracer_provider(provider)"
    )


def _openai(address: str, token: str) -> str:
    return _instrumented("opentelemetry.instrumentation.openai", "OpenAIInstrumentor", address, token)


def _anthropic(address: str, token: str) -> str:
    return _instrumented("opentelemetry.instrumentation.anthropic", "AnthropicInstrumentor", address, token)


def _openinference_openai(address: str, token: str) -> str:
    return _instrumented("openinference.instrumentation.openai", "OpenAIInstrumentor", address, token)


def _openinference_anthropic(address: str, token: str) -> str:
    return _instrumented("openinference.instrumentation.anthropic", "AnthropicInstrumentor", address, token)


def _instrumented(module: str, instrumentor: str, address: str, token: str) -> str:
    return (
        f"from {module} import {instrumentor}\n"
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n\n"
        f"{_provider(address, token)}"
        f"{instrumentor}().instrument(tracer_provider=provider)"
    )


def _provider(address: str, token: str) -> str:
    return (
        f'exporter = OTLPSpanExporter("{address}/v1/traces", headers={{"Authorization": "Bearer {token}"}})\n'
        "provider = TracerProvider()\n"
        "provider.add_span_processor(BatchSpanProcessor(exporter))\n"
    )


def _pydantic_ai(address: str, token: str) -> str:
    return (
        "import os\n\nimport logfire\nfrom pydantic_ai import Agent\n\n"
        f'os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "{address}"\n'
        f'os.environ["OTEL_EXPORTER_OTLP_HEADERS"] = "Authorization=Bearer%20{token}"\n'
        "logfire.configure(send_to_logfire=False)\n"
        "Agent.instrument_all()"
    )


def _traceloop(address: str, token: str) -> str:
    return (
        "from traceloop.sdk import Traceloop\n\n"
        f'Traceloop.init(app_name="my-program", api_endpoint="{address}", headers={{"Authorization": "Bearer {token}"}})'
    )


def _langfuse(address: str, token: str) -> str:
    return (
        f"export LANGFUSE_HOST={address}\n"
        f"export LANGFUSE_BASE_URL={address}\n"
        "export LANGFUSE_PUBLIC_KEY=my-program\n"
        f"export LANGFUSE_SECRET_KEY={token}"
    )


def _agents(address: str, token: str) -> str:
    return (
        "from agents import add_trace_processor\n"
        "from agents.tracing.processors import BackendSpanExporter, BatchTraceProcessor\n\n"
        f'exporter = BackendSpanExporter(api_key="{token}", endpoint="{address}/v1/traces/ingest")\n'
        "add_trace_processor(BatchTraceProcessor(exporter))"
    )


def _node(address: str, token: str) -> str:
    return (
        'import { NodeSDK } from "@opentelemetry/sdk-node";\n'
        'import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";\n\n'
        "const traceExporter = new OTLPTraceExporter({\n"
        f'  url: "{address}/v1/traces",\n'
        f'  headers: {{ Authorization: "Bearer {token}" }},\n'
        "});\n"
        "const sdk = new NodeSDK({ traceExporter });\n"
        "sdk.start();"
    )


def _vercel(address: str, token: str) -> str:
    return (
        f"{_node(address, token)}\n\n"
        "// with each call: generateText({ ..., experimental_telemetry })\n"
        'const experimental_telemetry = { isEnabled: true, functionId: "answer" };'
    )


EXPORTER = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
NODE_EXPORTER = "npm install @opentelemetry/sdk-node @opentelemetry/exporter-trace-otlp-http"

SNIPPETS = (
    Snippet("otel.exporters", "OpenTelemetry, any language", _exporters, order=40),
    Snippet("otel.python", "OpenTelemetry, Python", _python, "python", EXPORTER, 41),
    Snippet("otel.node", "OpenTelemetry, Node", _node, "javascript", NODE_EXPORTER, 42),
    Snippet(
        "otel.openai", "OpenAI in Python (OpenTelemetry)", _openai, "python",
        f"{EXPORTER} opentelemetry-instrumentation-openai", 43,
    ),
    Snippet(
        "otel.anthropic", "Anthropic in Python (OpenTelemetry)", _anthropic, "python",
        f"{EXPORTER} opentelemetry-instrumentation-anthropic", 44,
    ),
    Snippet(
        "otel.openinference_openai", "OpenAI in Python (OpenInference)", _openinference_openai, "python",
        f"{EXPORTER} openinference-instrumentation-openai", 45,
    ),
    Snippet(
        "otel.openinference_anthropic", "Anthropic in Python (OpenInference)", _openinference_anthropic, "python",
        f"{EXPORTER} openinference-instrumentation-anthropic", 46,
    ),
    Snippet("otel.traceloop", "Traceloop", _traceloop, "python", "pip install traceloop-sdk httpx", 47),
    Snippet("otel.pydantic_ai", "Pydantic AI", _pydantic_ai, "python", "pip install pydantic-ai logfire", 48),
    Snippet("otel.vercel", "Vercel AI SDK", _vercel, "javascript", NODE_EXPORTER, 49),
    Snippet("otel.langfuse", "Langfuse", _langfuse, hint="pip install langfuse", order=50),
    Snippet("otel.agents", "OpenAI Agents SDK", _agents, "python", "pip install openai-agents", 60),
)  # fmt: skip
