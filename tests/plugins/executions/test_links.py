"""Before recording: workflows get ids, and runs of which only children are known stand in as placeholders."""

from __future__ import annotations

from itertools import permutations

import pytest

from pilothouse.db import db, unit_of_work
from pilothouse_executions import service

NOON = 1_700_135_000_000


def workflows(store):
    return [row["name"] for row in store.rows("SELECT name FROM workflows ORDER BY name")]


def test_a_workflow_is_made_with_its_first_run(either_store, execution):
    either_store.send(execution("a", workflow="one"), execution("b", workflow="two"))
    either_store.send(execution("c", workflow="one"))
    assert workflows(either_store) == ["one", "two"]
    assert either_store.run("a")["workflow_id"] == either_store.run("c")["workflow_id"]


def test_names_of_workflows_are_exact(either_store, execution):
    names = ["Report", "report", "rep%rt", "rép", "1", "null", "a,b"]
    either_store.send(*(execution(f"r{n}", workflow=name) for n, name in enumerate(names)))
    assert [either_store.run(f"r{n}")["workflow"] for n in range(len(names))] == names


@pytest.mark.parametrize("kind", ["step", "error", "usage"])
def test_a_child_before_its_run_makes_a_placeholder(either_store, request, kind):
    child = request.getfixturevalue(kind)
    either_store.send(child())
    row = either_store.run("a")
    assert (row["status"], bool(row["reported"]), row["workflow"]) == ("running", False, None)
    either_store.check()


def test_the_run_s_own_report_fills_the_placeholder_in(either_store, execution, step, error):
    either_store.send(step(), error(workflow="guess", at=NOON))
    either_store.send(execution("a", "failed", started_at=NOON - 9, finished_at=NOON + 9))
    row = either_store.run("a")
    assert (row["status"], bool(row["reported"]), row["workflow"], row["started_at"]) == ("failed", True, "w", NOON - 9)
    assert row["error_count"] == 1
    either_store.check()


def test_a_placeholder_keeps_a_queued_report_queued(store, execution, step):
    store.send(step())
    store.send(execution("a", "queued"))
    assert store.run("a")["status"] == "queued"


def test_children_and_their_run_may_share_a_request(either_store, execution, step, error, usage):
    either_store.send(usage(), error(), step(), execution("a", "succeeded", started_at=NOON, finished_at=NOON))
    row = either_store.run("a")
    assert (bool(row["reported"]), row["error_count"], row["total_tokens"]) == (True, 1, 15)
    either_store.check()


def test_what_children_tell_of_a_placeholder_does_not_depend_on_their_order(store, step, error, usage, time_of_day):
    children = [step("s", "{}", started_at=NOON + 5), error("e", "{}", workflow="zeta", at=NOON + 9),
                usage("u", "{}", workflow="alpha", at=NOON)]  # fmt: skip
    for number, order in enumerate(permutations(children)):
        run = f"r{number}"
        for child in order:
            store.send({**child, "execution_id": run, "id": f"{child['id']}{number}"})
    for number in range(6):
        row = store.run(f"r{number}")
        assert (row["workflow"], row["created_at"], row["sorted_at"]) == ("alpha", NOON, NOON)
    store.check()


def test_children_in_one_request_tell_the_same(store, step, error, usage):
    store.send(step(started_at=NOON + 5), error(workflow="zeta", at=NOON + 9), usage(workflow="alpha", at=NOON))
    row = store.run("a")
    assert (row["workflow"], row["sorted_at"]) == ("alpha", NOON)
    store.check()


def test_a_child_from_the_future_makes_no_run_of_the_future(store, step, time_of_day):
    store.send(step(started_at=time_of_day.at + 60_000))
    assert store.run("a")["sorted_at"] == time_of_day.at


def test_a_placeholder_belongs_to_the_token_that_its_child_came_with(store, step):
    store.send(step(), token="t1")
    assert store.run("a")["token_id"] == "t1"


def test_a_run_that_was_reported_is_not_touched_by_its_children(store, execution, error):
    store.send(execution("a", "queued"))
    before = store.run("a")
    store.send(error(workflow="other", at=1))
    after = store.run("a")
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"error_count", "heard_at"}


@pytest.mark.parametrize("kind", ["step", "error", "usage"])
def test_a_child_revives_a_lost_run(either_store, execution, request, kind, time_of_day):
    either_store.send(execution("a", agent="g"))
    time_of_day.pass_by(60_000)
    with unit_of_work():
        service.mark_lost(50_000)
    assert either_store.run("a")["status"] == "lost"
    either_store.check()
    either_store.send(request.getfixturevalue(kind)())
    row = either_store.run("a")
    assert (row["status"], row["heard_at"]) == ("running", time_of_day.at)
    either_store.check()


def test_children_without_a_run_make_none(store, error, usage):
    store.send(error("e", None), usage("u", None))
    assert store.rows("SELECT id FROM executions") == []


def test_children_of_known_runs_cost_one_look_up(store, execution, step):
    from pilothouse.testing import count_queries

    store.send(*(execution(f"r{n}") for n in range(50)))
    db.session.rollback()
    with count_queries() as few:
        store.send(step("s", "r0"))
    with count_queries() as many:
        store.send(*(step(f"s{n}", f"r{n % 50}") for n in range(1, 50)))
    assert len(many) == len(few)
