"""Acting on runs: cancel, rerun, commands for clients, and marking silent ones lost."""

from __future__ import annotations

import pytest

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.db import unit_of_work
from pilothouse.errors import Conflict, NotFound
from pilothouse.testing import count_queries
from pilothouse_executions import service, tasks

ADA = Principal("u1", "member", "Ada")
FINAL = ("succeeded", "failed", "cancelled", "timed_out")


def cancel(run="a", reason="too slow"):
    with unit_of_work():
        return service.cancel(run, reason, ADA)


def rerun(run="a", reason="again"):
    with unit_of_work():
        return service.rerun(run, reason, ADA)


def mark_lost(silence=1_000):
    with unit_of_work():
        return service.mark_lost(silence)


def commands(token="t1"):
    found = service.deliver_commands(token)
    return None if found is None else [(one.execution_id, one.command) for one in found]


def audited(store):
    return [row["action"] for row in store.rows("SELECT action FROM audit_log ORDER BY id")]


# --- cancel ---


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_cancelled_run_is_cancelled_at_once(either_store, execution, status, time_of_day):
    either_store.send(execution("a", status, started_at=time_of_day.at - 500, agent="g"))
    cancel()
    row = either_store.run("a")
    assert (row["status"], row["finished_at"], row["agent"]) == ("cancelled", time_of_day.at, "g")
    either_store.check()


@pytest.mark.parametrize("status", FINAL)
def test_a_finished_run_cannot_be_cancelled(store, execution, status):
    store.send(execution("a", status))
    with pytest.raises(Conflict, match=f"finished already: {status}"):
        cancel()
    assert store.rows("SELECT id FROM execution_commands") == []


def test_a_placeholder_and_a_lost_run_can_be_cancelled(store, execution, step, time_of_day):
    store.send(step("s", "p"), execution("a"))
    time_of_day.pass_by(5_000)
    mark_lost()
    for run in ("p", "a"):
        cancel(run)
    assert [store.run(run)["status"] for run in "pa"] == ["cancelled", "cancelled"]
    store.check()


def test_a_late_report_of_a_cancelled_run_changes_what_is_final_by_the_rules(store, execution, time_of_day):
    store.send(execution("a", started_at=time_of_day.at - 9_000))
    cancel()
    store.send(execution("a", "running", user="u"), execution("a", "succeeded", finished_at=time_of_day.at - 5, output=1))
    row = store.run("a")
    assert (row["status"], row["finished_at"], row["user"], row["output"]) == ("cancelled", time_of_day.at, "u", "1")
    store.send(execution("a", "succeeded", finished_at=time_of_day.at + 5))
    assert store.run("a")["status"] == "succeeded"
    store.check()


def test_a_run_that_starts_in_the_future_ends_no_earlier(store, execution, time_of_day):
    store.send(execution("a", started_at=time_of_day.at + 60_000))
    cancel()
    assert store.run("a")["finished_at"] == time_of_day.at + 60_000


def test_who_is_unknown_cannot_be_acted_on(app):
    for act in (cancel, rerun):
        with pytest.raises(NotFound, match="There is no execution none"):
            act("none")


def test_each_act_is_audited_with_its_reason(store, execution):
    store.send(execution("a"))
    cancel()
    rerun()
    assert audited(store)[-2:] == ["execution.cancelled", "execution.rerun_requested"]
    details = store.rows("SELECT detail FROM audit_log ORDER BY id DESC")
    assert "too slow" in details[1]["detail"]


# --- commands ---


def test_a_cancel_is_repeated_until_the_client_says_that_it_ended(either_store, execution):
    either_store.send(execution("a"), token="t1")
    cancel()
    assert commands() == commands() == [("a", "cancel")]
    assert commands("t2") is None
    either_store.send(execution("a", "cancelled"), token="t1")
    assert commands() is None


def test_a_cancel_is_not_repeated_for_ever(store, execution, time_of_day):
    store.send(execution("a"), token="t1")
    cancel()
    time_of_day.pass_by(10 * clock.MINUTE)
    assert commands() is None


def test_a_rerun_is_handed_over_once(either_store, execution):
    either_store.send(execution("a", "failed"), token="t1")
    rerun()
    assert commands() == [("a", "rerun")]
    assert commands() is None


def test_commands_come_in_the_order_in_which_they_were_given(store, execution, time_of_day):
    store.send(execution("a"), execution("b"), token="t1")
    cancel("b")
    time_of_day.pass_by(1)
    cancel("a")
    assert commands() == [("b", "cancel"), ("a", "cancel")]


def test_commands_of_a_run_without_a_token_go_to_nobody(store, execution):
    store.send(execution("a"))
    cancel()
    assert store.rows("SELECT token_id, command FROM execution_commands") == [{"token_id": None, "command": "cancel"}]
    assert commands("") is None


def test_the_answer_to_a_report_carries_the_commands(app, api, execution):
    api.send(execution("a"), execution("b", "failed"))
    api.post("/api/executions/a/cancel", json={"reason": "r"})
    api.post("/api/executions/b/rerun", json={})
    first = api.send({"type": "event", "id": "e1", "name": "n"})["commands"]
    assert first == [{"execution_id": "a", "command": "cancel"}, {"execution_id": "b", "command": "rerun"}]
    assert api.send({"type": "event", "id": "e2", "name": "n"})["commands"] == first[:1]
    assert "commands" not in api.send(execution("a", "cancelled"))


def test_that_nothing_waits_is_remembered_until_a_command_is_given(broker_api, execution):
    broker_api.send(execution("a"))
    report = {"type": "event", "id": "e1", "name": "n"}
    assert "commands" not in broker_api.send(report)
    with count_queries() as asked:
        broker_api.send({**report, "id": "e2"})
    assert not any("execution_commands" in statement for statement in asked)
    broker_api.post("/api/executions/a/cancel", json={"reason": "r"})
    assert broker_api.send({**report, "id": "e3"})["commands"] == [{"execution_id": "a", "command": "cancel"}]


# --- lost ---


def test_a_silent_run_is_lost_and_a_heard_one_is_not(either_store, execution, time_of_day):
    either_store.send(execution("a"), execution("b"), execution("c", "succeeded"))
    time_of_day.pass_by(900)
    either_store.send(execution("b"))
    time_of_day.pass_by(101)
    assert mark_lost() == 1
    assert [either_store.run(name)["status"] for name in "abc"] == ["lost", "running", "succeeded"]
    either_store.check()


def test_who_waits_in_a_queue_is_not_lost(store, execution, time_of_day):
    store.send(execution("a", "queued"))
    time_of_day.pass_by(clock.DAY)
    assert mark_lost() == 0


def test_a_placeholder_may_be_lost_and_found(store, execution, step, time_of_day):
    store.send(step())
    time_of_day.pass_by(5_000)
    assert mark_lost() == 1
    store.send(execution("a", "running", agent="g"))
    assert (store.run("a")["status"], store.run("a")["agent"]) == ("running", "g")
    store.check()


def test_a_lost_run_keeps_what_was_reported_and_may_still_end(store, execution, time_of_day):
    store.send(execution("a", started_at=5, agent="g", finished_at=7))
    time_of_day.pass_by(5_000)
    mark_lost()
    assert (store.run("a")["finished_at"], store.run("a")["agent"]) == (7, "g")
    store.send(execution("a", "failed", finished_at=9))
    assert (store.run("a")["status"], store.run("a")["finished_at"]) == ("failed", 9)
    store.check()


def test_a_lost_run_is_lost_once(store, execution, time_of_day):
    store.send(execution("a"))
    time_of_day.pass_by(5_000)
    assert (mark_lost(), mark_lost()) == (1, 0)


def test_one_sweep_marks_so_many_and_the_next_one_goes_on(store, execution, time_of_day):
    store.send(*(execution(f"r{n}") for n in range(service.MOST_LOST + 3)))
    time_of_day.pass_by(5_000)
    assert (mark_lost(), mark_lost(), mark_lost()) == (service.MOST_LOST, 3, 0)


def test_the_task_goes_by_the_setting(store, execution, time_of_day):
    store.send(execution("a"))
    for pause, status in ((30 * clock.MINUTE, "running"), (1, "lost")):
        time_of_day.pass_by(pause)
        with unit_of_work():
            tasks.mark_lost({})
        assert store.run("a")["status"] == status


# --- retention ---


def test_retention_takes_old_runs_with_their_steps_and_leaves_their_errors(either_store, execution, time_of_day):
    old = time_of_day.at - 91 * clock.DAY
    time_of_day.at -= 91 * clock.DAY
    step = {"type": "step", "id": "s", "execution_id": "old", "name": "fetch"}
    error = {"type": "error", "id": "e", "execution_id": "old", "error_type": "KeyError", "message": "m"}
    either_store.send(execution("old", "failed", started_at=old), execution("long", "running", started_at=old), step)
    time_of_day.at += 91 * clock.DAY
    either_store.send(execution("long", "running"), execution("new", "succeeded"), error)
    tasks.expire({})
    assert [row["id"] for row in either_store.rows("SELECT id FROM executions ORDER BY id")] == ["long", "new", "old"]
    time_of_day.at += 91 * clock.DAY
    either_store.send(execution("new", "succeeded", release="2"))
    tasks.expire({})
    assert [row["id"] for row in either_store.rows("SELECT id FROM executions")] == ["new"]
    assert either_store.rows("SELECT id FROM steps") == []
    assert either_store.rows("SELECT id, execution_id FROM errors") == [{"id": "e", "execution_id": None}]
