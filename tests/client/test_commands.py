"""Commands: how a cancel or a rerun on the console reaches the program, and what keeps an execution alive."""

from __future__ import annotations

import threading
import time

import pytest

from pilothouse_client import Cancelled, Command


@pytest.fixture
def lively(connect):
    """Make a client whose heart beats ten times a second."""
    return connect(heartbeat=0.1)


def command(run, name="cancel"):
    return {"execution_id": run.id, "command": name}


def test_a_silent_execution_is_reported_again(lively, ledger):
    with lively.execution("long") as run:
        beats = ledger.wait_for("execution", 3, status="running")
    assert {beat["id"] for beat in beats} == {run.id}
    assert {beat["workflow"] for beat in beats} == {"long"}


def test_an_execution_that_reports_needs_no_heartbeat(connect, ledger):
    client = connect(heartbeat=0.4)
    with client.execution("busy") as run:
        for _ in range(12):
            with run.step("s"):
                time.sleep(0.1)
    client.flush()
    assert len(ledger.of("execution", status="running")) == 1


def test_an_execution_that_ended_is_silent(lively, ledger):
    with lively.execution("short"):
        pass
    lively.flush()
    count = len(ledger.signals)
    time.sleep(0.5)
    assert len(ledger.signals) == count


def test_a_server_that_is_away_gets_no_heartbeats_into_the_spool(lively, server, spool):
    with lively.execution("long"):
        server.ledger.wait_for("execution")
        server.ledger.answer_next(503, Retry_After="2")
        lively.track("a")
        time.sleep(1.2)
        spooled = "".join(path.read_text() for path in spool.glob("*/*.signals"))
        assert spooled.count('"running"') <= 2


def test_a_cancel_is_seen_by_the_program(lively, ledger, until):
    with lively.execution("long") as run:
        assert not run.cancelled
        ledger.commands.append(command(run))
        until(lambda: run.cancelled)


def test_raise_if_cancelled_ends_the_execution_as_cancelled(lively, ledger):
    def work(run):
        run.raise_if_cancelled()
        ledger.commands.append(command(run))
        assert run.wait_cancelled(10)
        run.raise_if_cancelled()

    with pytest.raises(Cancelled, match="'long' was cancelled"), lively.execution("long") as run:
        work(run)
    assert "error" not in ledger.one("execution", status="cancelled")


def test_a_wait_ends_with_the_cancel(lively, ledger):
    with lively.execution("long") as run:
        ledger.commands.append(command(run))
        began = time.monotonic()
        assert run.wait_cancelled(30)
        assert time.monotonic() - began < 10


def test_on_cancel_is_called_once_however_often_the_server_repeats_itself(lively, ledger, until):
    calls = []
    with lively.execution("long", on_cancel=lambda: calls.append(1)) as run:
        ledger.commands.extend([command(run)] * 2)
        until(lambda: run.cancelled)
        ledger.commands.append(command(run))
        until(lambda: not ledger.commands)
        time.sleep(0.2)
    assert calls == [1]


def test_on_rerun_is_called_after_the_execution_has_ended(lively, ledger):
    asked = threading.Event()
    with lively.execution("job", on_rerun=asked.set) as run:
        pass
    lively.flush()
    ledger.commands.append(command(run, "rerun"))
    assert asked.wait(10)


def test_listeners_hear_every_command(lively, ledger, until):
    heard = []
    lively.on_command(heard.append)
    ledger.commands.append({"execution_id": "elsewhere", "command": "cancel"})
    until(lambda: heard)
    assert heard == [Command("elsewhere", "cancel")]


def test_a_client_that_waits_for_commands_asks_with_an_empty_report(lively, ledger, until):
    lively.on_command(print)
    until(lambda: len(ledger.batches) >= 2)
    assert ledger.signals == []


def test_a_client_that_waits_for_nothing_asks_nothing(lively, ledger):
    lively.track("a")
    lively.flush()
    time.sleep(0.5)
    assert len(ledger.requests) == 1


def test_a_cancel_of_another_execution_is_not_ours(lively, ledger, until):
    with lively.execution("a") as run, lively.execution("b") as other:
        ledger.commands.append(command(other))
        until(lambda: other.cancelled)
        assert not run.cancelled


def test_a_callback_may_wait_for_the_reports(lively, ledger):
    flushed = []
    done = threading.Event()

    def stop():
        flushed.append(lively.flush(5))
        done.set()

    with lively.execution("long", on_cancel=stop) as run:
        ledger.commands.append(command(run))
        assert done.wait(10)
    assert flushed == [True]


def test_a_callback_that_fails_is_survived(lively, ledger, caplog, until):
    def fail():
        raise RuntimeError("broken callback")

    with lively.execution("long", on_cancel=fail) as run:
        ledger.commands.append(command(run))
        until(lambda: "broken callback" in caplog.text)
    assert ledger.one("execution", status="succeeded")


@pytest.mark.parametrize("nonsense", [{}, {"command": "cancel"}, "cancel", None, {"execution_id": 7, "command": []}])
def test_commands_that_make_no_sense_are_passed_over(lively, ledger, nonsense, until):
    ledger.commands.append(nonsense)
    with lively.execution("long"):
        until(lambda: not ledger.commands)
    assert ledger.one("execution", status="succeeded")
