"""Errors, tokens and events: what they carry, and what they are linked to."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

SECRET = "swordfish"


def fail(password=SECRET):
    raise LookupError("nothing there")


def capture(client, function, *args, **fields):
    try:
        function(*args)
    except Exception:  # noqa: BLE001 - whatever the test's function raises
        return client.capture_exception(**fields)


def test_a_captured_exception_becomes_an_error(client, ledger):
    error_id = capture(client, fail, severity="high", user="u1")
    error = ledger.one("error")
    assert error["id"] == error_id
    assert (error["error_type"], error["message"], error["severity"]) == ("LookupError", "nothing there", "high")
    assert (error["handled"], error["user"]) == (True, "u1")
    assert "execution_id" not in error


def test_frames_run_from_the_outermost_to_the_innermost(client, ledger):
    capture(client, fail)
    outer, inner = ledger.one("error")["frames"]
    assert [outer["function"], inner["function"]] == ["capture", "fail"]
    assert inner["file"] == __file__
    assert inner["module"] == __name__
    assert inner["line"] == fail.__code__.co_firstlineno + 1


def test_a_frame_shows_five_lines_on_each_side(client, ledger):
    capture(client, fail)
    inner = ledger.one("error")["frames"][-1]
    assert inner["context_line"] == '    raise LookupError("nothing there")'
    assert inner["pre_context"][-1].startswith("def fail(")
    assert (len(inner["pre_context"]), len(inner["post_context"])) == (5, 5)


def test_local_variables_are_never_sent(client, ledger):
    capture(client, lambda: fail(SECRET[::-1]))
    assert SECRET[::-1] not in str(ledger.one("error"))


def test_library_frames_are_not_the_programs_own(client, ledger):
    capture(client, json.loads, "{")
    frames = ledger.one("error")["frames"]
    assert [frame["in_app"] for frame in frames] == [True, False, False, False]
    assert frames[-1]["module"] == "json.decoder"


def test_a_runaway_recursion_keeps_its_two_ends(client, ledger):
    def deeper():
        deeper()

    capture(client, deeper)
    frames = ledger.one("error")["frames"]
    assert len(frames) == 100
    assert frames[0]["function"] == "capture"


def test_the_chain_of_causes_is_noted(client, ledger):
    def chain():
        try:
            fail()
        except LookupError as cause:
            raise RuntimeError("report failed") from cause

    capture(client, chain, attributes={"page": 2})
    attributes = ledger.one("error")["attributes"]
    assert attributes == {"page": 2, "causes": [{"error_type": "LookupError", "message": "nothing there"}]}


def test_a_suppressed_cause_is_not_noted(client, ledger):
    def hide():
        try:
            fail()
        except LookupError:
            raise RuntimeError("only this") from None

    capture(client, hide)
    assert "attributes" not in ledger.one("error")


def test_an_exception_that_causes_itself_is_survived(client, ledger):
    fault = RuntimeError("loop")
    other = RuntimeError("other")
    fault.__cause__, other.__cause__ = other, fault
    client.capture_exception(fault)
    assert [cause["message"] for cause in ledger.one("error")["attributes"]["causes"]] == ["other"]


def test_an_exception_from_a_package_is_named_in_full(client, ledger):
    client.capture_exception(json.JSONDecodeError("bad", "", 0))
    assert ledger.one("error")["error_type"] == "json.decoder.JSONDecodeError"


def test_an_exception_without_words_is_called_by_its_type(client, ledger):
    client.capture_exception(ValueError())
    assert ledger.one("error")["message"] == "ValueError"


def test_an_error_is_linked_to_the_current_execution(client, ledger):
    with client.execution("report", user="u1", release="5") as run:
        capture(client, fail)
    error = ledger.one("error")
    assert (error["execution_id"], error["workflow"], error["user"], error["release"]) == (run.id, "report", "u1", "5")


def test_one_exception_captured_and_raised_is_one_error(client, ledger):
    fault = LookupError("nothing there")
    run = client.execution("report").start()
    run.capture_exception(fault)
    run.fail(fault)
    assert ledger.one("execution", status="failed")["error"]["id"] == ledger.one("error")["id"]


def test_without_an_exception_nothing_is_captured(client, ledger):
    assert client.capture_exception() is None
    client.flush()
    assert ledger.of("error") == []


def test_tokens_are_linked_to_their_execution(client, ledger):
    with client.execution("report", agent="writer", user="u1") as run:
        usage_id = run.record_tokens(model="m-1", prompt_tokens=10, completion_tokens=4, cached_tokens=3)
    usage = ledger.one("token_usage", id=usage_id)
    assert (usage["model"], usage["prompt_tokens"], usage["completion_tokens"]) == ("m-1", 10, 4)
    assert (usage["execution_id"], usage["workflow"]) == (run.id, "report")
    assert (usage["agent"], usage["user"]) == ("writer", "u1")
    assert usage["cached_tokens"] == 3


def test_tokens_of_a_step_and_of_the_client_find_the_execution(client, ledger):
    with client.execution("report") as run, run.step("ask", kind="llm") as step:
        step.record_tokens(model="m-1", prompt_tokens=1, completion_tokens=1)
        client.record_tokens(model="m-2", prompt_tokens=2, completion_tokens=2)
    assert [usage["execution_id"] for usage in ledger.wait_for("token_usage", 2)] == [run.id, run.id]


def test_tokens_may_stand_alone(client, ledger):
    client.record_tokens(model="m-1", prompt_tokens=1, completion_tokens=0, workflow="batch")
    usage = ledger.one("token_usage")
    assert usage["workflow"] == "batch"
    assert "execution_id" not in usage


@pytest.mark.parametrize(("given", "sent"), [(1e-07, "0.0000001"), (Decimal("0.001234500"), "0.001234500"), (2, "2")])
def test_money_goes_as_a_decimal_string(client, ledger, given, sent):
    client.record_tokens(model="m", prompt_tokens=1, completion_tokens=1, cost_usd=given)
    assert ledger.one("token_usage")["cost_usd"] == sent


def test_an_event_carries_what_was_said_of_it(client, ledger):
    said = {"component": "reports", "user": "u1", "session": "s", "duration_ms": 12.5, "ok": True}
    event_id = client.track("report.opened", **said, properties={"pages": 3})
    assert ledger.one("event", id=event_id, name="report.opened", **said, properties={"pages": 3})
    assert ledger.one("event")["at"].endswith("+00:00")
