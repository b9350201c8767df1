"""Failures of spans become errors: in each of the three spellings, and one error for one exception."""

from __future__ import annotations

import itertools
import time

import pytest
from tests.plugins.otel.conftest import exception, failed, span, trace_id

STACK = 'Traceback (most recent call last):\n  File "shop/app.py", line 3, in load\n    x()\nValueError: no lines\n'
THROWN = exception("shop.ValueError", "no lines", STACK)


def kinds(door):
    return sorted((error["error_type"], error["message"]) for error in door.errors())


def test_an_exception_event_is_an_error_with_its_stack(door, trace):
    door.export(span("root", trace, **failed("no lines", THROWN)), resource={"service.version": "1.2"})
    assert kinds(door) == [("shop.ValueError", "no lines")]
    found = door.api.get(f"/api/errors/{door.errors()[0]['id']}").json
    assert (found["execution_id"], found["release"], found["handled"]) == (trace, "1.2", None)
    assert found["frames"][0]["function"] == "load"
    assert found["attributes"]["step"] == "root"
    assert door.execution(trace)["error_count"] == 1


def test_a_status_with_an_error_type_is_an_error(door, trace):
    door.export(span("root", trace, attributes={"error.type": "openai.RateLimitError"}, **failed("Error code: 429")))
    assert kinds(door) == [("openai.RateLimitError", "Error code: 429")]


def test_a_status_message_alone_is_an_error(door, trace):
    door.export(span("root", trace, **failed("order not found")))
    assert kinds(door) == [("Error", "order not found")]


def test_a_status_message_may_name_the_type(door, trace):
    door.export(span("root", trace, **failed("RateLimitError: slow down")))
    assert kinds(door) == [("RateLimitError", "RateLimitError: slow down")]


def test_langfuse_s_level_alone_is_an_error(door, trace):
    told = {"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "no such order"}
    door.export(span("root", trace, attributes=told))
    assert kinds(door) == [("Error", "no such order")]
    assert door.execution(trace)["status"] == "failed"


def test_a_failure_that_says_nothing_is_put_into_words(door, trace):
    door.export(span("GET /x", trace, attributes={"http.response.status_code": 502, "error.type": "502"}, **failed()))
    assert kinds(door) == [("502", "GET /x failed with HTTP status 502")]


def test_an_exception_that_was_recorded_on_a_good_span_was_handled(door, trace):
    door.export(span("root", trace, events=[THROWN]))
    assert (door.execution(trace)["status"], door.execution(trace)["error_count"]) == ("succeeded", 1)
    assert door.api.get(f"/api/errors/{door.errors()[0]['id']}").json["handled"] is True


def passed_on(trace):
    """Return the spans that one exception left: with event, with type and message, with message, saying nothing."""
    return [
        span("tool", trace, parent="task", **failed("no lines", THROWN)),
        span("task", trace, parent="agent", attributes={"error.type": "ValueError"}, **failed("no lines")),
        span("agent", trace, parent="root", **failed("ValueError: no lines")),
        span("root", trace, **failed()),
    ]


def test_one_exception_through_four_spans_is_one_error(door, trace):
    door.export(*passed_on(trace))
    assert kinds(door) == [("shop.ValueError", "no lines")]
    run = door.execution(trace)
    assert (run["error_count"], {step["status"] for step in run["steps"]}) == (1, {"failed"})


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
def test_one_exception_is_one_error_also_in_separate_requests(door, trace, order):
    for place in order:
        door.export(passed_on(trace)[place])
    assert len(door.errors()) == 1


def test_a_client_s_own_span_that_names_only_a_type_stands_for_the_failure_around_it(door, trace):
    inner = span("anthropic.messages.create", trace, parent="chat", attributes={"error.type": "rate_limit_error"}, **failed())
    outer = span("chat", trace, attributes={"error.type": "anthropic.RateLimitError"}, **failed("Error code: 429"))
    door.export(inner, outer)
    assert kinds(door) == [("anthropic.RateLimitError", "Error code: 429")]


def test_two_spans_that_say_nothing_are_one_error_at_the_inner_one(door, trace):
    door.export(span("root", trace, **failed()), span("inner", trace, parent="root", **failed()))
    assert len(door.errors()) == 1


def test_two_exceptions_of_a_trace_are_two_errors(door, trace):
    other = exception("KeyError", "'Z-9'")
    door.export(span("a", trace, parent="root", **failed("", THROWN)), span("b", trace, parent="root", **failed("", other)))
    assert [kind for kind, _ in kinds(door)] == ["KeyError", "shop.ValueError"]


def test_the_same_exception_in_two_traces_is_two_errors_of_one_group(door):
    for trace in (trace_id(), trace_id()):
        door.export(span("root", trace, **failed("no lines", THROWN)))
    assert len(door.errors()) == 2
    assert len({error["group_id"] for error in door.errors()}) == 1


def test_a_fatal_level_is_critical(door, trace):
    door.export(span("root", trace, attributes={"logfire.level_num": 21}, **failed("gone")))
    assert door.errors()[0]["severity"] == "critical"


def test_spans_in_a_circle_end(door, trace):
    door.export(span("a", trace, parent="b", **failed()), span("b", trace, parent="a", **failed()))
    assert door.execution(trace)["status"] == "running"
    assert len(door.errors()) == 1


@pytest.mark.parametrize("message", ["x" * 65_000, "Error" * 13_000, "a." * 32_000])
def test_a_long_message_costs_no_square_of_its_length(door, trace, message):
    begun = time.perf_counter()
    door.export(span("root", trace, **failed(message)))
    assert len(door.errors()) == 1
    assert time.perf_counter() - begun < 5  # the square of it took over a minute


def test_a_line_of_logfire_s_log_is_told_as_it_reads(door, trace):
    told = {"logfire.span_type": "log", "logfire.level_num": 17, "logfire.msg": "bad thing 1"}
    door.export(span("bad thing {x}", trace, attributes=told, status={"code": 2}))
    assert [error["message"] for error in door.errors()] == ["bad thing 1"]
