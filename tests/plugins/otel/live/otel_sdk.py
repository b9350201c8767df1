"""A program with OpenTelemetry's SDK: a workflow, a model call by hand, a tool that fails, a log line."""

import logging
from contextlib import suppress

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
logs = LoggerProvider()
logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
set_logger_provider(logs)
logging.getLogger().addHandler(LoggingHandler(logger_provider=logs))
tracer = trace.get_tracer("live")

call = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 10,
}  # fmt: skip
with tracer.start_as_current_span("order-intake", attributes={"user.id": "ada", "session.id": "s-1"}):
    with tracer.start_as_current_span("chat gpt-4o", attributes=call):
        logging.getLogger("desk").warning("slow answer")
    with suppress(KeyError), tracer.start_as_current_span("lookup", attributes={"gen_ai.operation.name": "execute_tool"}):
        raise KeyError("Z-9")
provider.shutdown()
logs.shutdown()
