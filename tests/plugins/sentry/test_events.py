"""Events become errors: type, message, frames, severity, run and person, whatever the SDK left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.sdk import Error, Execution
from pilothouse_sentry.envelope import Scope
from pilothouse_sentry.events import request_of, translate
from pilothouse_sentry.frames import frames_of

NOW = 1_795_500_000_000
TRACE = {"trace_id": "b" * 32, "span_id": "c" * 16}


def signals_of(event: dict[str, Any], **scope: Any) -> tuple[Execution | None, Error]:
    found = translate(event, Scope(now=NOW, **scope))
    run = next((signal for signal in found if isinstance(signal, Execution)), None)
    return run, next(signal for signal in found if isinstance(signal, Error))


def error_of(event: dict[str, Any], **scope: Any) -> Error:
    return signals_of(event, **scope)[1]


def attributes_of(event: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(bytes(error_of(event).attributes)))


def exception(*values: dict[str, Any]) -> dict[str, Any]:
    return {"exception": {"values": list(values)}}


def test_the_last_exception_names_the_error() -> None:
    error = error_of(exception({"type": "KeyError", "value": "'a'"}, {"type": "LookupFailed", "value": "no order"}))
    assert (error.error_type, error.message) == ("LookupFailed", "no order")


def test_the_chain_stays_with_its_places_in_the_tree() -> None:
    values = [
        {"type": "KeyError", "value": "'a'", "mechanism": {"exception_id": 1, "parent_id": 0}},
        {"type": "ExceptionGroup", "value": "two", "mechanism": {"exception_id": 0, "is_exception_group": True}},
    ]
    chain = attributes_of(exception(*values))["exceptions"]
    assert [one["type"] for one in chain] == ["KeyError", "ExceptionGroup"]
    assert chain[0]["mechanism"]["parent_id"] == 0


def test_each_exception_of_a_chain_has_its_frames_and_the_last_one_the_error_s() -> None:
    def stack(name: str, count: int = 1) -> dict[str, Any]:
        frame = {"filename": "shop.py", "function": name, "lineno": 7, "context_line": "f()", "vars": {"sku": "A-7"}, "in_app": True}
        return {"frames": [frame] * count}

    inner = {"type": "KeyError", "value": "'a'", "stacktrace": stack("price")}
    outer = {"type": "OrderFailed", "value": "no", "stacktrace": stack("order")}
    event = exception(inner, {"type": "ValueError"}, outer)
    chain = attributes_of(event)["exceptions"]
    assert [[frame["function"] for frame in one.get("frames", [])] for one in chain] == [["price"], [], []]
    assert chain[0]["frames"][0] | {"vars": {"sku": "A-7"}, "line": 7, "context_line": "f()"} == chain[0]["frames"][0]
    assert [frame.function for frame in error_of(event).frames or []] == ["order"]
    many = attributes_of(exception({**inner, "stacktrace": stack("a", 900)}, {**inner, "stacktrace": stack("b", 700)}, outer))
    assert [len(one.get("frames", [])) for one in many["exceptions"]] == [299, 700, 0]


def test_a_list_or_a_bare_exception_is_read_too() -> None:
    assert error_of({"exception": [{"type": "A"}]}).error_type == "A"
    assert error_of({"exception": {"type": "B", "value": "b"}}).error_type == "B"


@pytest.mark.parametrize(
    "event",
    [
        {"logentry": {"formatted": "5 left", "message": "%d left"}}, {"logentry": {"message": "5 left"}},
        {"message": "5 left"}, {"message": {"formatted": "5 left"}}, {"message": {"message": "5 left"}},
        exception({"value": "5 left"}), {"type": "feedback", "contexts": {"feedback": {"message": "5 left"}}},
    ],
)  # fmt: skip
def test_a_sentence_is_a_message(event: dict[str, Any]) -> None:
    error = error_of(event)
    assert (error.error_type, error.message) == ("Message", "5 left")


@pytest.mark.parametrize("event", [{}, {"exception": 5}, {"exception": {"values": [None, 3]}}, {"message": True}])
def test_an_event_that_says_nothing_is_still_an_error(event: dict[str, Any]) -> None:
    error = error_of(event)
    assert (error.error_type, error.message, error.at) == ("Message", "", NOW)
    assert len(error.id) >= 32


def test_the_id_is_the_events_then_the_envelopes() -> None:
    assert error_of({"event_id": "A" * 8 + "-" + "b" * 24}).id == "a" * 8 + "b" * 24
    assert error_of({"event_id": 5}, event_id="d" * 32).id == "d" * 32


@pytest.mark.parametrize(
    ("level", "kind", "severity"),
    [
        ("debug", "Fault", "low"), ("info", "Fault", "low"), ("warning", "Fault", "low"), ("fatal", "Fault", "critical"),
        ("error", "Fault", None), (None, "Fault", None), ("error", None, "medium"), ("warning", None, "low"),
        ("FATAL", None, "critical"), ("sample", "Fault", None),
    ],
)  # fmt: skip
def test_the_level_decides_the_severity_or_leaves_it_to_the_rules(level: str, kind: str, severity: str) -> None:
    assert error_of({"level": level, **exception({"type": kind, "value": "x"})}).severity == severity


def test_handled_is_the_outermost_exceptions_word() -> None:
    inner, outer = {"mechanism": {"handled": True}}, {"mechanism": {"handled": False}}
    assert error_of(exception(inner, outer)).handled is False
    assert error_of(exception(outer, {"type": "A"})).handled is False
    assert error_of(exception({"mechanism": {"handled": "no"}})).handled is None


def test_the_execution_is_the_trace_then_the_tag() -> None:
    tags = {"execution_id": "ex-1", "workflow": "order-intake"}
    both = error_of({"contexts": {"trace": TRACE}, "tags": tags})
    assert (both.execution_id, both.workflow) == ("b" * 32, "order-intake")
    assert error_of({"tags": tags}).execution_id == "ex-1"
    assert error_of({"tags": {"execution_id": "two words"}}).execution_id is None


def test_the_workflow_is_the_transaction_where_no_tag_names_it() -> None:
    assert error_of({"transaction": "tasks.send"}).workflow == "tasks.send"


def test_the_run_of_a_program_without_traces_ends_with_its_crash() -> None:
    crash = {"contexts": {"trace": TRACE}, "tags": [["agent", "pricing"]], "timestamp": 1795425367, "release": "shop@1"}
    run, error = signals_of({**crash, **exception({"type": "A", "mechanism": {"handled": False}})})
    assert run is not None
    assert (run.id, run.status, run.finished_at, run.agent) == (error.execution_id, "failed", 1_795_425_367_000, "pricing")


def test_a_handled_error_ends_no_run() -> None:
    run, _ = signals_of({"contexts": {"trace": TRACE}, **exception({"type": "A", "mechanism": {"handled": True}})})
    assert run is not None
    assert run.status == "succeeded"


def test_where_a_transaction_comes_the_event_says_nothing_of_the_run() -> None:
    event = {"contexts": {"trace": TRACE}}
    assert signals_of(event, sampled=True)[0] is None
    assert signals_of({"contexts": {"trace": {**TRACE, "op": "http.server"}}})[0] is None
    assert signals_of(event, sampled=False)[0] is not None


def test_a_frame_keeps_its_source_and_variables() -> None:
    frame = {"filename": "shop.py", "abs_path": "/srv/shop.py", "function": "price", "module": "shop", "lineno": 7,
             "in_app": True, "pre_context": ["a"], "context_line": "b", "post_context": ["c"], "vars": {"n": "0"}}  # fmt: skip
    (read,) = frames_of({"frames": [frame]})
    assert (read.file, read.function, read.module, read.line, read.in_app) == ("shop.py", "price", "shop", 7, True)
    assert (read.pre_context, read.context_line, read.post_context, read.vars) == (["a"], "b", ["c"], {"n": "0"})


@pytest.mark.parametrize("frames", [None, 5, {}, [None, 3, "x"]])
def test_frames_that_are_none_are_left_out(frames: object) -> None:
    assert frames_of({"frames": frames}) == []


def test_a_frame_of_wrong_types_is_an_empty_one() -> None:
    (frame,) = frames_of({"frames": [{"lineno": "7", "in_app": "yes", "vars": [1], "pre_context": "x", "context_line": 3}]})
    assert (frame.line, frame.in_app, frame.vars, frame.pre_context, frame.context_line) == (None, None, None, [], None)


def test_of_too_many_frames_both_ends_stay() -> None:
    frames = frames_of({"frames": [{"function": f"f{place}"} for place in range(3_000)]})
    assert len(frames) == 999
    assert (frames[0].function, frames[-1].function) == ("f0", "f2999")


def test_a_message_has_the_frames_of_its_thread() -> None:
    stack = {"frames": [{"function": "main"}]}
    threads = [{"id": 1}, {"id": 2, "current": True, "stacktrace": stack}]
    assert [frame.function for frame in error_of({"message": "x", "threads": {"values": threads}}).frames or ()] == ["main"]
    assert [frame.function for frame in error_of({"message": "x", "stacktrace": stack}).frames or ()] == ["main"]


def test_the_trace_can_be_read_as_python_writes_it() -> None:
    stack = {"frames": [{"filename": "shop.py", "function": "price", "lineno": 7, "context_line": "  return a / b"}]}
    event = {"platform": "python", **exception({"type": "Cause", "value": "c"}, {"type": "Top", "value": "t", "stacktrace": stack})}
    text = error_of(event).stack_trace or ""
    assert text.startswith("Traceback (most recent call last):\nCause: c")
    assert text.endswith('  File "shop.py", line 7, in price\n    return a / b\nTop: t')


def test_the_trace_can_be_read_as_javascript_writes_it() -> None:
    stack = {"frames": [{"filename": "a.js", "function": "outer", "lineno": 1}, {"filename": "b.js", "lineno": 2}]}
    error = error_of({"platform": "node", **exception({"type": "TypeError", "value": "x", "stacktrace": stack})})
    assert error.stack_trace == "TypeError: x\n    at ? (b.js:2)\n    at outer (a.js:1)"
    assert error_of(exception({"type": "A"})).stack_trace is None


def test_a_request_is_kept_without_what_is_private() -> None:
    request = {"method": "GET", "url": "http://shop/", "query_string": "token=abc&debug=1", "cookies": {"a": "b"},
               "headers": [["Cookie", "a=b"], ["Authorization", "x"], ["Host", "shop"]], "env": {"HOME": "/root"}}  # fmt: skip
    assert request_of(request) == {
        "method": "GET", "url": "http://shop/", "query": {"token": "abc", "debug": "1"}, "headers": {"Host": "shop"},
    }  # fmt: skip


def test_people_are_known_by_id_then_address() -> None:
    assert error_of({"user": {"id": 17, "email": "ana@example.com"}}).user == "17"
    assert error_of({"user": {"email": "ana@example.com", "ip_address": "127.0.0.1"}}).user == "ana@example.com"
    assert attributes_of({"user": {"id": "1", "ip_address": "127.0.0.1"}})["user"] == {"id": "1"}


def test_breadcrumbs_come_as_a_list_or_below_values() -> None:
    crumb = {"category": "query", "message": "SELECT 1", "level": None}
    expected = [{"category": "query", "message": "SELECT 1"}]
    assert attributes_of({"breadcrumbs": [crumb]})["breadcrumbs"] == expected
    assert attributes_of({"breadcrumbs": {"values": [crumb]}})["breadcrumbs"] == expected


def test_the_newest_breadcrumbs_are_kept() -> None:
    crumbs = attributes_of({"breadcrumbs": [{"message": str(place)} for place in range(1, 300)]})["breadcrumbs"]
    assert (len(crumbs), crumbs[-1]["message"]) == (100, "299")


def test_the_fingerprint_is_passed_on() -> None:
    assert error_of({"fingerprint": ["{{ default }}", 5, None, ""]}).fingerprint == ["{{ default }}", "5"]
    assert error_of({"fingerprint": "text"}).fingerprint is None


def test_release_and_environment_come_from_the_envelope_if_need_be() -> None:
    error = error_of({"environment": "test"}, release="shop@2", environment="production")
    assert (error.release, error.environment) == ("shop@2", "test")
