"""Merging: whatever the order and however often reports come, the same row is left."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse_executions.merging import (
    EDITED,
    FIELDS,
    QUEUED,
    RUNNING,
    STEP_FIELDS,
    UNSET,
    Ranks,
    edit_rank,
    implied_ranks,
    merge,
    rank_of,
    read_ranks,
    unset_ranks,
    write_ranks,
)

STATUSES = ("queued", "running", "succeeded", "failed", "cancelled", "timed_out")
LATEST = 253_402_300_799_999


def report(status="running", **fields):
    return {**dict.fromkeys(FIELDS), "status": status, **fields}


def placeholder():
    return {**report("running"), "levels": unset_ranks(FIELDS)}


def merged(*reports, row=None):
    """Merge reports in their order; the first one makes the row where there is none."""
    reports = list(reports)
    row = {**reports.pop(0), "levels": None} if row is None else row
    for one in reports:
        merge(row, one, FIELDS)
    return row


def seen(row):
    """Return what can be seen of a row: its values, objects as such, and their ranks."""
    values = {name: row[name] for name in (*FIELDS, "status")}
    values["attributes"] = json.loads(row["attributes"]) if row["attributes"] else None
    return values, read_ranks(row, FIELDS)


def same_in_any_order(*reports):
    found = [seen(merged(*order)) for order in permutations(reports)]
    assert all(one == found[0] for one in found)
    return found[0][0]


# --- the rules ---


def test_a_later_report_fills_in_what_an_earlier_one_left_out():
    row = same_in_any_order(report("running", agent="a"), report("succeeded", finished_at=5, output='"x"'), report("running",
    user="u"))
    assert (row["status"], row["agent"], row["user"], row["output"]) == ("succeeded", "a", "u", '"x"')


def test_a_final_status_is_never_undone_by_a_late_running():
    row = same_in_any_order(report("failed", finished_at=5, agent="final"), report("running", agent="early"), report("queued"))
    assert (row["status"], row["agent"]) == ("failed", "final")


def test_of_two_final_reports_the_later_end_wins():
    early, late = report("failed", finished_at=5, output='"b"', agent="a"), report("succeeded", finished_at=6, output='"a"')
    row = same_in_any_order(early, late)
    assert (row["status"], row["finished_at"], row["output"], row["agent"]) == ("succeeded", 6, '"a"', "a")


@pytest.mark.parametrize(("graver", "lighter"), [("failed", "timed_out"), ("timed_out", "cancelled"), ("cancelled",
"succeeded"), ("failed", "succeeded")])
def test_at_the_same_moment_the_graver_status_wins(graver, lighter):
    assert same_in_any_order(report(lighter, finished_at=5), report(graver, finished_at=5))["status"] == graver


def test_a_final_report_without_an_end_yields_to_one_with_it():
    assert same_in_any_order(report("failed"), report("succeeded", finished_at=0))["status"] == "succeeded"
    assert same_in_any_order(report("failed"), report("succeeded"))["status"] == "failed"


def test_an_end_that_a_running_report_names_lends_no_weight_to_others():
    odd = report("running", finished_at=50)
    row = same_in_any_order(odd, report("failed"), report("succeeded", finished_at=30))
    assert (row["status"], row["finished_at"]) == ("succeeded", 30)


def test_each_field_comes_from_the_most_final_report_that_names_it():
    reports = (report("failed", finished_at=10, agent="x"), report("failed", finished_at=30), report("failed",
    finished_at=20, agent="y"))
    assert same_in_any_order(*reports)["agent"] == "y"


def test_a_rank_that_rises_without_a_change_is_remembered():
    reports = (report("running", agent="b"), report("failed", finished_at=10), report("failed", finished_at=7, agent="b"),
               report("failed", finished_at=5, agent="a"))  # fmt: skip
    assert same_in_any_order(*reports)["agent"] == "b"


def test_of_two_values_of_one_rank_the_greater_one_stays():
    row = same_in_any_order(report(started_at=5, agent="a"), report(started_at=7, agent="b"), report(started_at=6))
    assert (row["started_at"], row["agent"]) == (7, "b")
    twins = (report("succeeded", finished_at=5, output='"a"'), report("succeeded", finished_at=5, output='"b"'))
    assert same_in_any_order(*twins)["output"] == '"b"'


def test_objects_are_united_key_by_key():
    row = same_in_any_order(
        report("running", attributes='{"a":1,"b":1,"d":9}'), report("running", attributes='{"b":2,"c":1}'),
        report("failed", finished_at=9, attributes='{"c":3,"a":0}'),
    )
    assert row["attributes"] == {"a": 0, "b": 2, "c": 3, "d": 9}


def test_each_key_of_an_object_has_a_rank_of_its_own():
    row = same_in_any_order(
        report("running", attributes='{"a":1}'), report("failed", finished_at=9, attributes='{"b":1}'), report("running",
        attributes='{"a":5}'),
        report("succeeded", finished_at=3, attributes='{"a":3,"b":7}'),
    )
    assert row["attributes"] == {"a": 3, "b": 1}


def test_numbers_beyond_any_are_united_like_others():
    row = merged(report(attributes='{"a":1e999}'), report(attributes='{"b":123456789012345678901234567890}'))
    assert row["attributes"] == '{"a":1e999,"b":123456789012345678901234567890}'


def test_an_object_that_says_nothing_new_stays_as_it_came():
    text = '{"b" : 1, "a":2}'
    assert merged(report(attributes=text), report(attributes=text))["attributes"] == text
    assert merged(report("failed", attributes=text), report(attributes='{"a":7}'))["attributes"] == text


def test_a_report_that_changes_nothing_says_so():
    row = merged(report("failed", finished_at=5, agent="a", attributes='{"a":1}'))
    assert not merge(row, report("running", agent="b"), FIELDS)
    assert not merge(row, report("failed", finished_at=5, agent="a", attributes='{"a":1}'), FIELDS)
    assert merge(row, report("running", user="u"), FIELDS)
    assert merge(row, report("failed", finished_at=6), FIELDS)


# --- what the server does ---


def test_a_lost_run_is_running_again_when_it_is_heard_of():
    for status in ("queued", "running"):
        row = {**report("running", agent="a"), "levels": None, "status": "lost"}
        assert merge(row, report(status), FIELDS)
        assert (row["status"], row["agent"]) == ("running", "a")


def test_a_lost_run_may_have_ended_meanwhile():
    row = {**report("running"), "levels": None, "status": "lost"}
    merge(row, report("failed", finished_at=3), FIELDS)
    assert row["status"] == "failed"


@pytest.mark.parametrize("status", STATUSES)
def test_any_report_says_more_than_a_placeholder(status):
    row = placeholder() | {"workflow_id": "guess"}
    merge(row, report(status, workflow_id="named", finished_at=5 if status == "failed" else None), FIELDS)
    assert (row["status"], row["workflow_id"]) == (status, "named")


def test_what_a_person_edits_outranks_every_report():
    row = merged(report("failed", finished_at=5, agent="reported", environment="test"))
    assert merge(row, report("failed", agent="edited"), FIELDS, edited_at=1_000)
    merge(row, report("failed", finished_at=9, agent="later", environment="prod"), FIELDS)
    assert (row["agent"], row["environment"], row["finished_at"]) == ("edited", "prod", 9)
    merge(row, report("failed", agent="again"), FIELDS, edited_at=2_000)
    assert row["agent"] == "again"


def test_an_edit_does_not_undo_a_final_status():
    row = merged(report("failed", finished_at=5))
    merge(row, report("running", agent="a"), FIELDS, edited_at=1_000)
    assert (row["status"], row["agent"]) == ("failed", "a")


def test_an_edit_that_changes_nothing_leaves_the_field_to_reports():
    row = merged(report("running", agent="a"))
    assert not merge(row, report("running", agent="a"), FIELDS, edited_at=1_000)
    merge(row, report("failed", agent="b"), FIELDS)
    assert row["agent"] == "b"


def test_an_edited_key_stays_and_its_neighbours_go_on():
    row = merged(report("running", attributes='{"a":1,"b":1}'))
    merge(row, report("running", attributes='{"a":7}'), FIELDS, edited_at=1_000)
    merge(row, report("failed", attributes='{"a":2,"b":2}'), FIELDS)
    assert json.loads(row["attributes"]) == {"a": 7, "b": 2}


def test_a_success_that_nobody_stated_yields_to_any_statement():
    base = {**dict.fromkeys(STEP_FIELDS), "name": "s", "status": "succeeded", "finished_at": 10}
    row = {**base, "levels": implied_ranks(base, STEP_FIELDS)}
    merge(row, {**dict.fromkeys(STEP_FIELDS), "status": "failed"}, STEP_FIELDS)
    assert (row["status"], row["finished_at"]) == ("failed", 10)
    stated = {**dict.fromkeys(STEP_FIELDS), "status": "failed", "levels": None}
    merge(stated, base, STEP_FIELDS, implied=True)
    assert (stated["status"], stated["finished_at"]) == ("failed", 10)


# --- ranks and their text ---


def test_ranks_rise_from_unset_to_edited():
    order = [UNSET, QUEUED, RUNNING, rank_of("succeeded", 9, implied=True), rank_of("succeeded", None), rank_of("failed", None),
             rank_of("succeeded", 0), rank_of("cancelled", 0), rank_of("timed_out", 0), rank_of("failed", 0),
             rank_of("succeeded", 1),
             rank_of("failed", LATEST), EDITED, edit_rank(1)]  # fmt: skip
    assert order == sorted(set(order))
    assert edit_rank(LATEST) < 2**53  # exact in every JSON reader


def test_ranks_need_no_text_where_every_value_came_with_the_status():
    assert merged(report("running", agent="a"), report("running", user="u"))["levels"] is None
    assert merged(report("running", agent="a"), report("failed", agent="b"))["levels"] is None


def test_the_common_ranks_are_one_digit_each():
    row = merged(report("running", agent="a", started_at=1), report("succeeded", finished_at=5))
    assert row["levels"] == "30020000023000"
    assert unset_ranks(FIELDS) == "00000000000000"


@given(st.data())
def test_ranks_survive_their_text(data):
    status = data.draw(st.sampled_from(STATUSES))
    row = report(status, finished_at=data.draw(st.none() | st.integers(0, LATEST)))
    ranks = st.integers(0, 2) | st.just(rank_of(status, row["finished_at"])) | st.integers(16, 2**53)
    kept = Ranks(data.draw(ranks), data.draw(st.lists(ranks, min_size=len(FIELDS), max_size=len(FIELDS))))
    for name, rank in zip(FIELDS, kept.fields, strict=True):
        row[name] = row[name] if name == "finished_at" else None if rank == UNSET else 1
    kept.fields[FIELDS.index("finished_at")] = UNSET if row["finished_at"] is None else kept.fields[FIELDS.index("finished_at")]
    kept.keys = data.draw(st.dictionaries(st.text(max_size=3), ranks, max_size=2))
    row["levels"] = write_ranks(kept, row, FIELDS)
    assert read_ranks(row, FIELDS) == kept


# --- any order, any number of times ---

TEXT = st.sampled_from([None, "a", "b", "c"])
REPORTS = st.builds(
    report,
    status=st.sampled_from(STATUSES), agent=TEXT, user=TEXT, parent_id=TEXT, output=st.sampled_from([None, '"a"', '{"b":1}',
    "7"]),
    started_at=st.sampled_from([None, 1, 2, 3]), finished_at=st.sampled_from([None, 0, 5, 6, 7]),
    attributes=st.sampled_from([None, "{}", '{"a":1}', '{"a":2,"b":1}', '{"b":2}', '{"c":[1]}', '{"a":1,"c":null}']),
)  # fmt: skip


@given(st.lists(REPORTS, min_size=1, max_size=6), st.data())
def test_any_order_and_any_repetition_leave_the_same_row(reports, data):
    shuffled = data.draw(st.permutations([*reports, *data.draw(st.lists(st.sampled_from(reports), max_size=4))]))
    assert seen(merged(*reports)) == seen(merged(*shuffled))


@given(st.lists(REPORTS, min_size=1, max_size=4), st.data())
def test_a_placeholder_before_the_reports_makes_no_difference(reports, data):
    shuffled = data.draw(st.permutations(reports))
    assert seen(merged(*reports)) == seen(merged(*shuffled, row=placeholder()))


@given(st.lists(REPORTS, min_size=1, max_size=5))
def test_a_second_time_changes_nothing(reports):
    row = merged(*reports)
    before = dict(row)
    assert not any(merge(row, one, FIELDS) for one in reports)
    assert row == before
