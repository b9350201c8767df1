"""Whose usage it is: its own words first, else its execution's, also where that is reported later."""

from __future__ import annotations

import itertools

import pytest


def test_usage_takes_workflow_and_agent_from_its_execution(api, usage, execution, lines):
    api.send(execution("e1", agent="scout"), usage("u1", execution_id="e1"))
    assert (lines(api, "workflow").keys(), lines(api, "agent").keys()) == ({"nightly"}, {"scout"})


def test_an_execution_that_comes_later_is_followed(api, usage, execution, lines):
    api.send(usage("u1", execution_id="e1"))
    assert lines(api, "workflow").keys() == {None}
    api.send(execution("e1", agent="scout"))
    assert (lines(api, "workflow").keys(), lines(api, "agent").keys()) == ({"nightly"}, {"scout"})
    assert lines(api, "workflow")["nightly"]["cost_usd"] == "0.003500000"


def test_the_usage_s_own_words_win(api, usage, execution, lines):
    api.send(usage("u1", execution_id="e1", workflow="digest", agent="writer"), execution("e1", agent="scout"))
    api.send(execution("e1", agent="scout", status="succeeded"))
    assert (lines(api, "workflow").keys(), lines(api, "agent").keys()) == ({"digest"}, {"writer"})


def test_a_report_that_leaves_the_agent_out_takes_nothing_away(api, usage, execution, lines):
    api.send(execution("e1", agent="scout"))
    api.send(execution("e1", status="succeeded"), usage("u1", execution_id="e1"))
    assert lines(api, "agent").keys() == {"scout"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_new_execution_told_of_twice_in_one_batch_is_what_both_say(api, usage, execution, lines, order):
    signals = [execution("e1"), execution("e1", agent="scout", status="succeeded"), usage("u1", execution_id="e1")]
    api.send(*(signals[place] for place in order))
    assert (lines(api, "workflow").keys(), lines(api, "agent").keys()) == ({"nightly"}, {"scout"})


def test_usage_without_an_execution_keeps_its_workflow(api, usage, rows, lines):
    api.send(usage("u1", workflow="digest"))
    assert lines(api, "workflow").keys() == {"digest"}
    statement = "SELECT u.workflow_id = w.id AS same FROM token_usage u JOIN workflows w ON w.name = u.workflow"
    assert rows(statement) == [{"same": 1}]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_order_gives_the_same(api, usage, execution, lines, order):
    signals = [
        execution("e1", agent="first"),
        execution("e1", agent="last", status="succeeded", finished_at=2_000, started_at=1_000),
        usage("u1", execution_id="e1"),
    ]
    for place in order:
        api.send(signals[place])
    assert {key: line["calls"] for key, line in lines(api, "agent").items()} == {"last": 1}
