"""A program with Langfuse's newer SDK: the key check, a trace with a generation, a failed tool, a score."""

from langfuse import get_client, propagate_attributes

langfuse = get_client()
assert langfuse.auth_check()
with langfuse.start_as_current_observation(name="order-intake", as_type="span"), propagate_attributes(user_id="ada", session_id="s-1"):
    with langfuse.start_as_current_observation(name="draft", as_type="generation", model="gpt-4o") as generation:
        generation.update(output="yes", usage_details={"input": 100, "output": 10})
    with langfuse.start_as_current_observation(name="lookup", as_type="tool") as tool:
        tool.update(level="ERROR", status_message="no such order")
    langfuse.score_current_trace(name="helpful", value=0.8)
langfuse.flush()
langfuse.shutdown()
