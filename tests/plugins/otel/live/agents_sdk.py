"""A program with the OpenAI Agents SDK and its own exporter: one agent, one answer."""

import os

from agents import Agent, OpenAIChatCompletionsModel, Runner, set_trace_processors, trace
from agents.tracing.processors import BackendSpanExporter, BatchTraceProcessor
from openai import AsyncOpenAI

exporter = BackendSpanExporter(api_key=os.environ["TOKEN"], endpoint=os.environ["SERVER"] + "/v1/traces/ingest")
processor = BatchTraceProcessor(exporter)
set_trace_processors([processor])
client = AsyncOpenAI(base_url=os.environ["PROVIDER"], api_key="none")
agent = Agent(name="triage", model=OpenAIChatCompletionsModel("gpt-4o", client))
with trace("order-intake", group_id="s-1"):
    assert Runner.run_sync(agent, "hi").final_output == "yes"
processor.shutdown()
