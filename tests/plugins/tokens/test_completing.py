"""Two spans of one call: the one that tells of more tokens counts, in either order, together or apart."""

from __future__ import annotations

import pytest

SAME = {"execution_id": "e1", "response_id": "msg-1", "prompt_tokens": 1000}


def spans(usage):
    """Return the client's own span of a stream that was left, and the instrumentation's span around it."""
    inner = usage("inner", step_id="s2", parent_id="s1", completion_tokens=0, **SAME)
    outer = usage("outer", step_id="s1", completion_tokens=7, **SAME)
    return [inner, outer]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_fuller_span_counts_in_either_order(api, usage, totals, order):
    for place in order:
        api.send(spans(usage)[place])
    found = totals(api)
    assert (found["calls"], found["prompt_tokens"], found["completion_tokens"]) == (1, 1000, 7)
    assert api.get("/api/executions/e1").json["token_usage"]["completion_tokens"] == 7


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_fuller_span_counts_in_one_report(api, usage, totals, order):
    api.send(*(spans(usage)[place] for place in order))
    assert (totals(api)["calls"], totals(api)["completion_tokens"]) == (1, 7)


def test_what_a_program_reported_itself_is_not_completed(api, usage, totals):
    api.send(usage("own", response_id="msg-1", completion_tokens=5))
    api.send(usage("span", step_id="s1", **SAME, completion_tokens=700))
    assert totals(api)["completion_tokens"] == 5


def test_of_one_id_the_first_report_stands(api, usage, totals):
    api.send(usage("call", execution_id="e1", step_id="s1"))
    answer = api.send(usage("call", execution_id="e1", step_id="s1", prompt_tokens=5000))
    assert answer["duplicates"] == 1
    assert totals(api)["prompt_tokens"] == 1000


def test_a_call_that_told_no_tokens_gets_them_later(api, usage, totals):
    place = {"execution_id": "e1", "step_id": "s2", "parent_id": "s1"}
    api.send(usage("sum", execution_id="e1", step_id="s1", provisional=True, prompt_tokens=9000))
    api.send(usage("call", prompt_tokens=0, completion_tokens=0, usage_source="none", **place))
    api.send(usage("call", **place))
    assert (totals(api)["calls"], totals(api)["prompt_tokens"]) == (1, 1000)
    assert api.get("/api/executions/e1").json["token_usage"]["cost_usd"] == "0.003500000"


def test_an_answer_of_an_unpriced_model_stays_unpriced_when_completed(api, usage, totals):
    inner, outer = spans(usage)
    api.send({**inner, "model": "nobody-knows"})
    api.send({**outer, "model": "nobody-knows"})
    assert (totals(api)["unpriced_records"], totals(api)["completion_tokens"]) == (1, 7)
