"""A program with Langfuse's SDK 2: the key check, a trace with a generation, a failed span, a score."""

from langfuse import Langfuse

langfuse = Langfuse()
assert langfuse.auth_check()
trace = langfuse.trace(name="order-intake", user_id="ada", session_id="s-1")
generation = trace.generation(name="draft", model="gpt-4o", input="hi")
langfuse.flush()
generation.end(output="yes", usage={"input": 100, "output": 10})
trace.span(name="lookup").end(level="ERROR", status_message="no such order")
trace.score(name="helpful", value=0.8)
trace.update(output="done")
langfuse.flush()
langfuse.shutdown()
