"""Executions and steps: what is reported, when, and how they nest."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from pilothouse_client import Cancelled, current_execution, current_step


def test_the_start_is_there_while_the_execution_still_runs(client, ledger):
    with client.execution("nightly-report", agent="writer", user="u1") as run:
        started = ledger.one("execution", status="running")
    assert (started["id"], started["workflow"]) == (run.id, "nightly-report")
    assert (started["agent"], started["user"]) == ("writer", "u1")
    assert "finished_at" not in started


def test_a_first_signal_does_not_wait_for_company(client, ledger):
    began = time.monotonic()
    with client.execution("quick"):
        ledger.wait_for("execution", status="running")
    assert time.monotonic() - began < 0.45


def test_the_end_follows_with_output_and_a_later_time(client, ledger):
    with client.execution("report") as run:
        time.sleep(0.02)
        run.set_output({"pages": 3})
    ended = ledger.one("execution", status="succeeded")
    assert ended["output"] == {"pages": 3}
    length = datetime.fromisoformat(ended["finished_at"]) - datetime.fromisoformat(ended["started_at"])
    assert 0.02 <= length.total_seconds() < 5


def test_all_fields_of_an_execution_go_through(client, ledger):
    given = {
        "id": "own-1",
        "trigger": "cron",
        "agent": "a",
        "user": "u",
        "session": "s",
        "environment": "prod",
        "release": "1.2",
        "parent_id": "p",
        "input": {"q": 1},
        "attributes": {"k": "v"},
        "started_at": "2026-01-02T03:04:05Z",
    }
    with client.execution("full", **given):
        pass
    assert ledger.one("execution", status="running", workflow="full", **given)


def test_the_options_fill_in_environment_and_release(connect, ledger):
    client = connect(environment="staging", release="7")
    with client.execution("a"), client.execution("b", environment="prod"):
        pass
    assert ledger.one("execution", workflow="a", status="running", environment="staging", release="7")
    assert ledger.one("execution", workflow="b", status="running", environment="prod", release="7")


def test_a_step_reports_its_start_and_its_end(client, ledger):
    with client.execution("report") as run:
        with run.step("fetch", kind="tool", input="url") as step:
            started = ledger.one("step", status="running")
            step.set_output("page")
        ended = ledger.one("step", status="succeeded")
    assert (started["execution_id"], started["name"], started["kind"]) == (run.id, "fetch", "tool")
    assert (started["input"], ended["output"]) == ("url", "page")
    assert started["id"] == ended["id"] == step.id


def test_steps_in_steps_name_their_parent(client, ledger):
    with client.execution("report") as run, run.step("outer") as outer:
        with run.step("inner") as inner, run.step("innermost"):
            pass
        with run.step("sibling"):
            pass
    assert "parent_id" not in ledger.one("step", name="outer", status="succeeded")
    assert ledger.one("step", name="inner", status="succeeded")["parent_id"] == outer.id
    assert ledger.one("step", name="innermost", status="succeeded")["parent_id"] == inner.id
    assert ledger.one("step", name="sibling", status="succeeded")["parent_id"] == outer.id


def test_an_execution_in_an_execution_names_its_parent(client, ledger):
    with client.execution("outer") as outer, outer.step("call"), client.execution("inner") as inner:
        inner.step("own").start().finish()
    assert ledger.one("execution", workflow="inner", status="running")["parent_id"] == outer.id
    assert "parent_id" not in ledger.one("step", name="own", status="running")


def test_a_step_of_one_execution_is_no_parent_in_another(client, ledger):
    with client.execution("a") as a, client.execution("b") as b, b.step("inner"):
        a.step("outer").start().finish()
    assert "parent_id" not in ledger.one("step", name="outer", status="succeeded")


def test_what_is_current_ends_with_its_block(client):
    with client.execution("a") as run:
        assert current_execution() is run
        with run.step("s") as step:
            assert current_step() is step
        assert current_step() is None
    assert current_execution() is None


def test_each_thread_has_its_own_steps(client, ledger):
    gate = threading.Barrier(4)

    def work(run, name):
        with run.step(name) as step:
            gate.wait()
            with run.step(f"{name}-child"):
                gate.wait()
        return name, step.id

    with client.execution("threads") as run, ThreadPoolExecutor(4) as pool:
        parents = dict(pool.map(lambda name: work(run, name), "abcd"))
    client.flush()
    found = {name: ledger.one("step", name=f"{name}-child", status="running")["parent_id"] for name in "abcd"}
    assert found == parents


def test_a_step_of_a_step_has_its_parent_in_any_thread(client, ledger):
    with client.execution("threads") as run, run.step("outer") as outer, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: outer.step("inner").start().finish()).result()
    assert ledger.one("step", name="inner", status="succeeded")["parent_id"] == outer.id


def test_asyncio_tasks_do_not_mix_their_steps(client, ledger):
    async def work(run, name):
        async with run.step(name) as step:
            await asyncio.sleep(0.01)
            async with run.step(f"{name}-child"):
                await asyncio.sleep(0.01)
        return name, step.id

    async def main():
        async with client.execution("tasks") as run:
            return dict(await asyncio.gather(*(work(run, name) for name in "abcd")))

    parents = asyncio.run(main())
    client.flush()
    assert parents == {name: ledger.one("step", name=f"{name}-child", status="running")["parent_id"] for name in "abcd"}


def test_a_generator_closed_elsewhere_ends_its_step(client, ledger):
    def pages(run):
        with run.step("stream"):
            yield 1

    with client.execution("stream") as run:
        stream = pages(run)
        next(stream)
        threading.Thread(target=stream.close).start()
        assert ledger.one("step", name="stream", status="cancelled")


def test_an_exception_fails_the_execution_and_goes_on_unchanged(client, ledger):
    fault = ValueError("no such page")
    with pytest.raises(ValueError, match="no such page") as caught, client.execution("report"):
        raise fault
    ended = ledger.one("execution", status="failed")
    assert caught.value is fault
    assert (ended["error"]["error_type"], ended["error"]["message"]) == ("ValueError", "no such page")
    assert ended["error"]["handled"] is False
    assert ended["error"]["frames"][-1]["function"].endswith("goes_on_unchanged")


def test_an_exception_fails_the_step_and_names_itself_in_its_attributes(client, ledger):
    with pytest.raises(KeyError), client.execution("r") as run, run.step("s", attributes={"page": 1}):
        raise KeyError("x")
    attributes = ledger.one("step", status="failed")["attributes"]
    assert attributes == {"page": 1, "error_type": "KeyError", "error_message": "'x'"}


def test_a_handled_exception_of_a_step_leaves_the_execution_well(client, ledger):
    with client.execution("r") as run, pytest.raises(OSError, match="gone"), run.step("s"):
        raise OSError("gone")
    assert ledger.one("step", status="failed")
    assert "error" not in ledger.one("execution", status="succeeded")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError, Cancelled])
def test_cancellation_is_no_failure(client, ledger, kind):
    with pytest.raises(kind), client.execution("r") as run, run.step("s"):
        raise kind
    assert "error" not in ledger.one("execution", status="cancelled")
    assert ledger.one("step", status="cancelled")


@pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (None, "succeeded"), (3, "failed")])
def test_leaving_the_program_counts_by_its_exit_status(client, ledger, code, status):
    with pytest.raises(SystemExit), client.execution("r"):
        sys.exit(code)
    assert ledger.one("execution", status=status)


def test_an_end_is_reported_once(client, ledger):
    run = client.execution("manual").start()
    run.finish("timed_out")
    run.finish("succeeded")
    client.flush()
    assert [signal["status"] for signal in ledger.of("execution")] == ["running", "timed_out"]


def test_attributes_may_come_later(client, ledger):
    with client.execution("r", attributes={"a": 1}) as run:
        run.set_attributes(b=2)
    assert ledger.one("execution", status="succeeded")["attributes"] == {"a": 1, "b": 2}


def test_ids_rise_and_are_version_7(client):
    ids = [client.execution("r").id for _ in range(5_000)]
    assert ids == sorted(set(ids))
    assert {each[14] for each in ids} == {"7"}
    assert {each[19] for each in ids} <= set("89ab")
