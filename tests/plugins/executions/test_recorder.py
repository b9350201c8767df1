"""Recording executions and steps on either database: new, known, late, twice, and measures that equal a recount."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.work.models import Job

NOON = 1_700_135_000_000
SHOWN = ("status", "workflow", "trigger", "agent", "user", "session", "environment", "release", "parent_id", "started_at",
         "finished_at", "attributes", "input", "output", "error_count", "total_tokens", "cost_nano", "sorted_at")  # fmt: skip


def reactions():
    """Return the jobs that events made, as (reaction, status) of the event."""
    db.session.rollback()
    found = [json.loads(job.payload) for job in db.session.scalars(db.select(Job).where(Job.task == "core.react"))]
    return sorted((one["reaction"], one["event"].get("status")) for one in found)


def step_row(store, name="s"):
    return store.rows("SELECT * FROM steps WHERE id = :id", id=name)[0]


# --- executions ---


def test_a_report_is_stored_with_all_its_fields(either_store, execution):
    fields = {"trigger": "cron", "agent": "g", "user": "u", "session": "s", "environment": "prod", "release": "1.2",
    "parent_id": "p",
              "started_at": NOON, "finished_at": NOON + 5, "input": {"a": [1]}, "output": "x",
              "attributes": {"k": None}}  # fmt: skip
    either_store.send(execution("a", "succeeded", **fields), token="t1")
    row = either_store.run("a")
    stored = {**fields, "input": '{"a": [1]}', "output": '"x"', "attributes": '{"k": null}'}
    assert {name: row[name] for name in stored} == stored
    assert (row["workflow"], row["status"], row["sorted_at"], row["token_id"], row["levels"]) == ("w", "succeeded", NOON,
    "t1", None)


def test_started_and_finished_reports_become_one_row(either_store, execution):
    either_store.send(execution("a", "running", started_at=NOON, agent="g"))
    outcome = either_store.send(execution("a", "succeeded", finished_at=NOON + 1_500, output=1))
    row = either_store.run("a")
    assert (outcome.accepted, row["status"], row["started_at"], row["finished_at"]) == (1, "succeeded", NOON, NOON + 1_500)
    assert (row["agent"], row["output"]) == ("g", "1")
    either_store.check()


def test_finished_before_started_ends_the_same(either_store, execution):
    either_store.send(execution("a", "failed", finished_at=NOON + 9))
    either_store.send(execution("a", "running", started_at=NOON, agent="g"))
    either_store.send(execution("a", "queued"))
    row = either_store.run("a")
    assert (row["status"], row["started_at"], row["finished_at"], row["agent"]) == ("failed", NOON, NOON + 9, "g")
    either_store.check()


def test_the_same_report_again_is_a_duplicate_and_is_heard(either_store, execution, time_of_day):
    report = execution("a", "running", started_at=NOON, attributes={"a": 1})
    either_store.send(report)
    time_of_day.pass_by(5_000)
    outcome = either_store.send(report, report)
    assert (outcome.accepted, outcome.duplicates) == (0, 2)
    assert either_store.run("a")["heard_at"] == time_of_day.at
    either_store.check()


def test_reports_of_one_request_are_merged_in_it(either_store, execution):
    outcome = either_store.send(
        execution("a", "running", started_at=NOON), execution("a", "running", started_at=NOON), execution("a", "failed",
        finished_at=NOON),
        execution("b", "queued"),
    )
    assert (outcome.accepted, outcome.duplicates) == (3, 1)
    assert [either_store.run(name)["status"] for name in "ab"] == ["failed", "queued"]
    either_store.check()


def test_a_rank_that_rises_is_kept_though_the_report_is_a_duplicate(store, execution):
    store.send(execution("a", "running", agent="b"))
    store.send(execution("a", "failed", finished_at=10))
    assert store.send(execution("a", "failed", finished_at=7, agent="b")).duplicates == 1
    store.send(execution("a", "failed", finished_at=5, agent="a"))
    assert store.run("a")["agent"] == "b"


def test_without_a_start_a_run_is_sorted_by_its_arrival(store, execution, time_of_day):
    store.send(execution("a", "queued"))
    assert store.run("a")["sorted_at"] == time_of_day.at
    store.send(execution("a", "running", started_at=NOON))
    assert store.run("a")["sorted_at"] == NOON
    store.check()


def test_the_first_token_that_reports_a_run_owns_it(store, execution):
    store.send(execution("a"))
    store.send(execution("a"), token="t1")
    store.send(execution("a", "failed"), token="t2")
    assert store.run("a")["token_id"] == "t1"


def test_agents_environments_and_triggers_are_remembered_once(either_store, execution):
    either_store.send(execution("a", agent="g", environment="e", trigger="t"), execution("b", agent="g"))
    either_store.send(execution("c", agent="g", environment="f"))
    labels = either_store.rows("SELECT kind, name FROM execution_labels ORDER BY kind, name")
    assert [tuple(row.values()) for row in labels] == [("agent", "g"), ("environment", "e"), ("environment", "f"),
    ("trigger", "t")]


def test_an_edit_replaces_what_was_reported(store, execution):
    store.send(execution("a", "failed", finished_at=NOON, agent="g"))
    store.send(execution("a", "failed", agent="edited"), edit=True)
    store.send(execution("a", "failed", finished_at=NOON + 1, agent="late"))
    assert store.run("a")["agent"] == "edited"
    store.check()


# --- what others hear ---


@pytest.fixture
def heard(build_app, make_plugin):
    """Build an application in which a plugin hears of executions; returns what sends and what was heard."""
    from pilothouse.contract.events import Reaction
    from pilothouse.plugins.discovery import discover
    from pilothouse_executions.events import Failed, Finished, Lost

    seen = []
    reactions = [Reaction(f"trial.{kind.__name__.lower()}", kind, seen.append, when="now") for kind in (Finished, Failed, Lost)]
    app = build_app(plugins=[*discover(), make_plugin("trial", requires=("executions",), reactions=reactions)])
    with app.app_context():
        yield seen


def names(events):
    return [(type(event).__name__, getattr(event, "status", None)) for event in events]


def test_an_end_is_told_once(heard, store_of, execution):
    store_of.send(execution("a"), execution("b", "succeeded", finished_at=1))
    store_of.send(execution("a", "failed", finished_at=5), execution("a", "failed", finished_at=5))
    store_of.send(execution("a", "failed", finished_at=6), execution("b", "succeeded", finished_at=2))
    assert names(heard) == [("Finished", "succeeded"), ("Finished", "failed"), ("Failed", "failed")]
    assert {event.workflow for event in heard} == {"w"}


def test_a_failure_is_told_with_what_its_report_said_of_why(heard, store_of, execution):
    from pilothouse_executions import notices

    store_of.send(execution("a", "failed", error={"error_type": "KeyError", "message": "t" * 400}), execution("b", "failed"))
    told = {event.execution_id: notices.failed(event) for event in heard if hasattr(event, "error")}
    assert told["a"].title == "w failed"
    assert told["a"].message == f"KeyError: {'t' * 290}"
    assert told["b"].message == "Execution b failed."


def test_a_success_that_turns_out_a_failure_is_told_as_one(heard, store_of, execution):
    store_of.send(execution("a", "succeeded", finished_at=1))
    store_of.send(execution("a", "timed_out", finished_at=5))
    store_of.send(execution("a", "failed", finished_at=6))
    assert names(heard) == [("Finished", "succeeded"), ("Failed", "timed_out")]


@pytest.fixture
def store_of(heard):
    from pilothouse.runtime import runtime

    assert runtime().registry.get("trial").state == "loaded", runtime().registry.get("trial").reason

    class Sender:
        @staticmethod
        def send(*signals):
            items, _ = runtime().reader.read_json(json.dumps({"signals": signals}).encode())
            from pilothouse.contract.recording import Source

            return runtime().ingest.submit(items, Source())

    return Sender()


# --- steps ---


def test_a_step_is_stored_with_all_its_fields(either_store, step):
    fields = {"kind": "llm", "parent_id": "p", "status": "failed", "started_at": NOON, "finished_at": NOON + 1, "input": 1,
              "output": None, "attributes": {"k": 1}}  # fmt: skip
    either_store.send(step("s", **fields))
    row = step_row(either_store)
    stored = {**fields, "input": "1", "attributes": '{"k": 1}'}
    assert {name: row[name] for name in stored} == stored
    assert (row["execution_id"], row["name"]) == ("a", "fetch")


def test_a_step_is_merged_like_a_run(either_store, step):
    either_store.send(step(status="running", started_at=NOON, kind="llm", attributes={"a": 1}))
    outcome = either_store.send(step(status="succeeded", finished_at=NOON + 3, attributes={"b": 2}), step(status="running"))
    row = step_row(either_store)
    assert (outcome.accepted, outcome.duplicates) == (1, 1)
    assert (row["status"], row["kind"], row["started_at"], row["finished_at"]) == ("succeeded", "llm", NOON, NOON + 3)
    assert json.loads(row["attributes"]) == {"a": 1, "b": 2}


@pytest.mark.parametrize(("fields", "status"), [({}, "running"), ({"finished_at": NOON}, "succeeded"), ({"status": "queued"},
"queued")])
def test_a_step_without_a_status_is_known_by_its_end(store, step, fields, status):
    store.send(step(**fields))
    assert step_row(store)["status"] == status


@pytest.mark.parametrize("turned", [False, True])
def test_a_success_that_nobody_stated_yields_to_a_failure(store, step, turned):
    reports = [step(finished_at=NOON), step(status="failed")]
    for report in reversed(reports) if turned else reports:
        store.send(report)
    row = step_row(store)
    assert (row["status"], row["finished_at"]) == ("failed", NOON)


@pytest.mark.parametrize("turned", [False, True])
def test_a_kind_that_is_left_out_takes_none_away(store, step, turned):
    reports = [step(kind="llm", status="running"), step(status="succeeded", finished_at=NOON)]
    for report in reversed(reports) if turned else reports:
        store.send(report)
    assert step_row(store)["kind"] == "llm"


def test_steps_of_two_runs_may_have_the_same_id(either_store, step):
    either_store.send(step("s", "a", name="one"), step("s", "b", name="two"), step("s", "a", status="failed", name="one"))
    rows = either_store.rows("SELECT execution_id, name, status FROM steps ORDER BY execution_id")
    assert [tuple(row.values()) for row in rows] == [("a", "one", "failed"), ("b", "two", "running")]


def test_a_step_keeps_its_run_from_being_lost(store, execution, step, time_of_day):
    store.send(execution("a"))
    time_of_day.pass_by(9_000)
    store.send(step())
    assert store.run("a")["heard_at"] == time_of_day.at


# --- any order, any number of times, in any requests ---

MAYBE = st.sampled_from([None, "x", "y"])
IDS = st.sampled_from(["a", "b"])


@st.composite
def signals(draw):
    kind = draw(st.sampled_from(["execution", "execution", "step", "error", "token_usage"]))
    run = draw(IDS)
    if kind == "execution":
        fields = {"id": run, "workflow": "w", "status": draw(st.sampled_from(["queued", "running", "succeeded", "failed",
        "cancelled"])),
                  "agent": draw(MAYBE), "environment": draw(MAYBE), "started_at": draw(st.sampled_from([None, NOON,
                  NOON + 70_000])),
                  "finished_at": draw(st.sampled_from([None, NOON + 80_000, NOON + 90_000])),
                  "attributes": draw(st.sampled_from([None, {"a": 1}, {"a": 2, "b": 1}]))}  # fmt: skip
    elif kind == "step":
        fields = {"id": draw(st.sampled_from("st")), "execution_id": run, "name": "n", "kind": draw(st.sampled_from(["other",
        "llm"])),
                  "status": draw(st.sampled_from([None, "running", "failed"])), "started_at": draw(st.sampled_from([None,
                  NOON])),
                  "finished_at": draw(st.sampled_from([None, NOON + 5]))}  # fmt: skip
    elif kind == "error":
        number = draw(st.integers(0, 2))
        fields = {"id": f"e{number}{run}", "execution_id": run, "error_type": "E", "message": "m",
        "workflow": draw(st.sampled_from([None, "w"])),
                  "at": NOON - number}  # fmt: skip
    else:
        number = draw(st.integers(0, 2))
        fields = {"id": f"u{number}{run}", "execution_id": run, "model": "m", "prompt_tokens": number, "completion_tokens": 1,
                  "cost_usd": draw(st.just("0.5")), "at": NOON}  # fmt: skip
    return {"type": kind, **{name: value for name, value in fields.items() if value is not None}}


def emptied():
    """Empty the tables that signals fill."""
    db.session.rollback()
    with unit_of_work() as session:
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        for table in ("steps", "execution_errors", "execution_usage", "execution_commands", "execution_labels", "errors",
        "error_groups",
                      "token_usage", "executions", "workflows", "measure_deltas", "jobs"):  # fmt: skip
            session.execute(text(f"DELETE FROM {table}"))


def snapshot(store):
    """Return all that can be seen of the rows."""
    runs = []
    for row in store.rows("SELECT id FROM executions ORDER BY id"):
        shown = {name: store.run(row["id"])[name] for name in SHOWN}
        runs.append((row["id"], {**shown, "attributes": json.loads(shown["attributes"] or "null")}))
    columns = "execution_id, id, status, kind, name, started_at, finished_at"
    steps = store.rows(f"SELECT {columns} FROM steps ORDER BY execution_id, id")
    sums = store.rows("SELECT * FROM execution_usage ORDER BY execution_id")
    errors = store.rows("SELECT * FROM execution_errors ORDER BY execution_id, id")
    return runs, steps, sums, errors


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(signals(), min_size=1, max_size=8), data=st.data())
def test_any_order_repetition_and_division_leave_the_same(store, sent, data):
    more = data.draw(st.permutations([*sent, *data.draw(st.lists(st.sampled_from(sent), max_size=4))]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(more)), max_size=4)))
    with clock.replaced(lambda: NOON + 100_000):
        emptied()
        store.send(*sent)
        store.check()
        first = snapshot(store)
        emptied()
        for start, end in zip([0, *cuts], [*cuts, len(more)], strict=True):
            store.send(*more[start:end])
        store.check()
    assert snapshot(store) == first
