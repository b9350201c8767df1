"""Reading runs: filters, keyset pages, search, figures, and an index for every question."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from pilothouse.db import db
from pilothouse.errors import NotFound
from pilothouse.web.ranges import Period
from pilothouse_executions import queries
from pilothouse_executions.queries import Filters

NOON = 1_700_135_000_000


def ids(filters=None, limit=50, after=None):
    return [row.id for row in queries.page(filters or Filters(), limit, after)]


def walk(filters, limit, between=lambda: None):
    """Go through all pages; `between` runs before each further one."""
    found, after = [], None
    while True:
        rows = queries.page(filters, limit, after)
        found += [row.id for row in rows[:limit]]
        if len(rows) <= limit:
            return found
        after = (rows[limit - 1].sorted_at, rows[limit - 1].id)
        between()


@pytest.fixture
def some(either_store, execution):
    """Store six runs that differ in what lists are filtered by."""
    either_store.send(
        execution("r1", "running", workflow="Nightly Report", agent="Scout", environment="prod", started_at=NOON + 1),
        execution("r2", "failed", workflow="Nightly Report", agent="scribe", environment="test", started_at=NOON + 2),
        execution("R3", "succeeded", workflow="clean_up", agent="Ärztin", environment="prod", started_at=NOON + 3),
        execution("r4%", "failed", workflow="clean-up", environment="prod", started_at=NOON + 4),
        execution("r5", "queued", workflow="ÜBUNG", started_at=NOON + 4),
        execution("r6", "failed", workflow="cleanXup", agent="scout", started_at=NOON + 6),
    )
    return either_store


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "r6 r5 r4% R3 r2 r1"), ({"status": ("failed",)}, "r6 r4% r2"), ({"status": ("failed", "queued")}, "r6 r5 r4% r2"),
        ({"workflow": "Nightly Report"}, "r2 r1"), ({"workflow": "nightly report"}, ""), ({"agent": "Scout"}, "r1"),
        ({"environment": "prod"}, "r4% R3 r1"), ({"since": NOON + 4}, "r6 r5 r4%"), ({"until": NOON + 4}, "R3 r2 r1"),
        ({"since": NOON + 2, "until": NOON + 4, "status": ("failed",)}, "r2"), ({"q": "nightly"}, "r2 r1"), ({"q": "SCOUT"},
        "r6 r1"),
        ({"q": "r3"}, "R3"), ({"q": "%"}, "r4%"), ({"q": "_"}, "R3"), ({"q": "clean_up"}, "R3"), ({"q": "\\"}, ""),
        ({"q": "ärztin"}, "R3"), ({"q": "übung"}, "r5"), ({"q": "ü"}, "r5"), ({"q": "nothing"}, ""),
        ({"q": "s", "environment": "prod"}, "r1"), ({"workflow": ""}, ""),
    ],
)  # fmt: skip
def test_each_filter_means_the_same_on_either_database(some, filters, found):
    assert ids(Filters(**filters)) == found.split()


def test_a_workflow_may_be_named_by_its_id(some):
    assert ids(Filters(workflow=some.run("r1")["workflow_id"])) == ["r2", "r1"]


def test_filters_can_be_taken_back():
    full = Filters(("failed",), "w", "a", "e", "q", 1, 2)
    assert full.without("status", "q") == Filters((), "w", "a", "e", None, 1, 2)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_pages_together_are_the_list(either_store, execution, limit):
    either_store.send(*(execution(f"r{n}", started_at=NOON + n // 3) for n in range(7)))
    assert walk(Filters(), limit) == [f"r{n}" for n in (6, 5, 4, 3, 2, 1, 0)]


def test_rows_that_are_added_meanwhile_repeat_and_hide_none(either_store, execution):
    either_store.send(*(execution(f"r{n:02}", started_at=NOON + n // 4) for n in range(20)))
    added = iter(range(100))

    def add():
        number = next(added)
        either_store.send(execution(f"new{number}", started_at=NOON + 100 + number), execution(f"old{number}",
        started_at=NOON - number - 1))

    found = walk(Filters(), 3, add)
    assert len(found) == len(set(found))
    assert {one for one in found if one.startswith("r")} == {f"r{n:02}" for n in range(20)}


def test_what_came_meanwhile_can_be_asked_for(some, execution):
    top = queries.page(Filters(), 1)[0]
    some.send(execution("n1", started_at=NOON + 7), execution("n2", started_at=NOON + 8))
    assert [row.id for row in queries.newer(Filters(), 1, (top.sorted_at, top.id))] == ["n1", "n2"]


def test_the_stream_gives_every_row_once(either_store, execution):
    either_store.send(*(execution(f"r{n:04}", started_at=NOON + n // 2) for n in range(queries.CHUNK + 5)))
    found = [row.id for row in queries.stream(Filters())]
    assert found == sorted(found, reverse=True)
    assert len(found) == queries.CHUNK + 5


def test_one_run_with_all_that_belongs_to_it(either_store, execution, step, error, usage):
    either_store.send(execution("a", input={"x": 1}), execution("child", parent_id="a"))
    either_store.send(step("late", started_at=NOON + 5), step("early", started_at=NOON), error("e"), usage("u"))
    assert queries.get("a").input == '{"x": 1}'
    assert [one.id for one in queries.steps("a")] == ["early", "late"]
    assert [one.id for one in queries.errors("a")] == ["e"]
    assert [one.id for one in queries.children("a")] == ["child"]
    assert (queries.usage("a").calls, queries.usage("child")) == (1, None)


def test_an_unknown_run_is_not_found(app):
    with pytest.raises(NotFound, match="no execution nobody"):
        queries.get("nobody")


def test_labels_and_workflows_are_sorted(some):
    assert [row.name for row in queries.workflows()] == sorted(["Nightly Report", "clean_up", "clean-up", "ÜBUNG", "cleanXup"])
    assert queries.labels("environment") == ["prod", "test"]


def test_the_palette_finds_runs_by_the_start_of_their_id(some):
    assert sorted(row.id for row in queries.starting_with("r", 50)) == ["r1", "r2", "r4%", "r5", "r6"]
    assert len(queries.starting_with("r", 2)) == 2


# --- figures ---


def test_figures_of_a_period(either_store, execution):
    either_store.send(
        *(execution(f"s{n}", "succeeded", started_at=NOON, finished_at=NOON + n * 100) for n in range(1, 101)),
        execution("f", "failed", started_at=NOON, finished_at=NOON + 50), execution("r", started_at=NOON), execution("q",
        "queued"),
    )
    found = queries.stats(Period(NOON - 60_000, NOON + 60_000))
    assert (found.total, found.by_status, found.running) == (102, {"failed": 1, "running": 1, "succeeded": 100}, 1)
    assert found.success_rate == 100 / 101
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx([5_000, 9_500, 9_900], rel=0.02)


def test_figures_of_nothing_are_nothing(either_app):
    found = queries.stats(Period(NOON, NOON + 60_000))
    assert (found.total, found.by_status, found.success_rate, found.p50_ms, found.running) == (0, {}, None, None, 0)


def test_figures_may_be_filtered(some):
    period = Period(NOON - 60_000, NOON + 60_000)
    assert queries.stats(period, Filters(workflow="Nightly Report")).total == 2
    assert queries.stats(period, Filters(workflow=some.run("r1")["workflow_id"])).total == 2
    assert queries.stats(period, Filters(agent="Scout", environment="prod")).by_status == {"running": 1}


def test_the_chart_counts_by_time_and_status(some):
    minute = NOON - NOON % 60_000
    found = queries.counts_by_time((minute - 60_000, minute, minute + 60_000), Filters(environment="prod"))
    assert found == [{}, {"failed": 1, "running": 1, "succeeded": 1}]
    assert queries.running() == 1


# --- plans ---


@pytest.fixture
def plans(app):
    """Collect the plans of all statements that read in the block."""
    found = []

    def note(_connection, cursor, statement, parameters, *_more):
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            found.append((statement, [row[3] for row in rows]))

    event.listen(db.engine, "before_cursor_execute", note)
    yield found
    event.remove(db.engine, "before_cursor_execute", note)


def scans(plans, *tables):
    return [step for _, plan in plans for step in plan if any(step.startswith(f"SCAN {t}") and "INDEX" not in step for t in tables)]


SIX = {"status": ("failed",), "workflow": "w", "agent": "a", "environment": "e", "since": 1, "until": NOON}


@pytest.mark.parametrize("wanted", [{}, *({name: value} for name, value in SIX.items()), {**SIX}, {"status": ("failed",
"running")}])
def test_every_list_is_read_from_an_index(store, execution, plans, wanted):
    store.send(execution("x", "failed", workflow="w", agent="a", environment="e"))
    queries.page(Filters(**wanted), 50, (NOON, "x"))
    queries.newer(Filters(**wanted), 50, (1, "x"))
    assert scans(plans, "executions", "workflows") == []
    assert plans


@pytest.mark.parametrize("wanted", [{"status": ("failed",)}, {"workflow": "w"}, {"agent": "a"}, {"environment": "e"}, {}])
def test_one_filter_needs_no_sorting(store, execution, plans, wanted):
    store.send(execution("x", "failed", workflow="w", agent="a", environment="e"))
    plans.clear()
    queries.page(Filters(**wanted), 50)
    assert [step for _, plan in plans for step in plan if "TEMP B-TREE" in step] == []


def test_one_run_and_all_that_belongs_to_it_are_looked_up(app, plans):
    for read in (queries.steps, queries.errors, queries.usage, queries.children, lambda _: queries.running()):
        read("a")
    queries.starting_with("a", 8)
    queries.labels("agent")
    with pytest.raises(NotFound):
        queries.get("a")
    assert scans(plans, "executions", "steps", "execution_errors", "execution_usage", "execution_labels", "workflows") == []


def test_recording_and_commands_look_up_too(store, execution, step, error, usage, plans):
    from pilothouse_executions import service

    store.send(execution("a"), step(), error(), usage(), token="t")
    store.send(execution("a", "failed"), step(status="failed"), token="t")
    service.deliver_commands("t")
    tables = ("executions", "steps", "workflows", "execution_commands", "execution_usage", "execution_errors")
    assert scans(plans, *tables) == []
    assert len(plans) > 5


def test_figures_do_not_touch_the_rows(store, execution, plans):
    store.send(execution("a", "failed", started_at=NOON))
    plans.clear()
    queries.stats(Period(NOON - 60_000, NOON + 60_000))
    assert plans
    assert not [step for _, plan in plans for step in plan if "executions" in step]
