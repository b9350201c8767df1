"""A program that calls OpenAI's client twice, once in vain; who instruments it is named by the first argument."""

import importlib
import os
import sys
from contextlib import suppress

from openai import OpenAI, RateLimitError
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
importlib.import_module(sys.argv[1]).OpenAIInstrumentor().instrument()
client = OpenAI(base_url=os.environ["PROVIDER"], api_key="none", max_retries=0)
with trace.get_tracer("live").start_as_current_span("order-intake"):
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    with suppress(RateLimitError):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "fail"}])
provider.shutdown()
