"""Measures: what recorders add is read back exactly, before, while and after it is compacted, on both databases."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from measure_trial import CALLS, COST, PEOPLE, TOOK, added, seen, trial_plugin

from pilothouse import clock, measure_reads, measure_rollups, measures
from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Invalid
from pilothouse.measure_pieces import pieces_about, pieces_of
from pilothouse.measure_reads import Ask, read, read_all, read_totals
from pilothouse.measure_sums import QUARTER, SIZES, Sum, digest_of, percentile, start_of, written
from pilothouse.measures import Deltas
from pilothouse.testing import environment, let_go, make_app

NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR
A, B = ("a", "x", "ok"), ("b", "y", "bad")


@pytest.fixture
def app(database_url, tmp_path):
    """Build an application with the trial plugin, on either database; it is two hours past noon."""
    made = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=database_url), [trial_plugin()])
    with made.app_context(), clock.replaced(lambda: NOON + 2 * HOUR):
        yield made
    let_go(made)


def counts(measure, since, until, **options):
    return {values: found.count for values, found in read_totals(measure, since, until, **options).items()}


def test_what_was_added_is_read_at_once_and_after_compaction(app):
    added((CALLS, NOON, A), (CALLS, NOON, A), (CALLS, NOON + MINUTE, B))
    before = counts(CALLS, NOON, NOON + HOUR)
    measure_rollups.compact()
    assert before == {A: 2, B: 1} == counts(CALLS, NOON, NOON + HOUR)
    assert measures.lag() == 0


def test_a_period_is_exact_to_the_minute_at_both_ends(app):
    added(*((CALLS, NOON + minute * MINUTE, A) for minute in range(60)))
    measure_rollups.compact()
    assert counts(CALLS, NOON + 7 * MINUTE, NOON + 49 * MINUTE) == {A: 42}
    assert counts(CALLS, NOON + 7 * MINUTE + 59_000, NOON + 49 * MINUTE + 59_000) == {A: 42}


def test_the_minute_that_still_runs_counts_whole(app):
    now = NOON + 2 * HOUR + 30_000
    added((CALLS, now, A))
    with clock.replaced(lambda: now + 5_000):
        assert counts(CALLS, NOON, now + 5_000) == {A: 1}


def test_what_is_taken_back_leaves_nothing(app):
    added((CALLS, NOON, A))
    measure_rollups.compact()
    added((CALLS, NOON, A), count=-1)
    added((CALLS, NOON, B))
    measure_rollups.compact()
    assert {values: n for values, n in counts(CALLS, NOON, NOON + HOUR).items() if n} == {B: 1}


def test_a_transaction_that_cancels_itself_out_writes_no_row(app):
    with unit_of_work() as session:
        deltas = Deltas()
        deltas.add(TOOK, NOON, ("a", "ok"), value=7)
        deltas.add(TOOK, NOON, ("a", "ok"), value=7, count=-1)
        deltas.write(session.connection())
    assert measures.lag() == 0


def test_a_breakdown_reads_one_dimension_and_a_filter_keeps_one_value(app):
    added((CALLS, NOON, A), (CALLS, NOON, B), (CALLS, NOON, ("a", "y", "bad")), (CALLS, NOON, (None, None, "ok")))
    for _ in range(2):
        assert counts(CALLS, NOON, NOON + HOUR, by=("model",)) == {("a",): 2, ("b",): 1, (None,): 1}
        assert counts(CALLS, NOON, NOON + HOUR, by=(), where={"agent": "y", "status": "bad"}) == {(): 2}
        pairs = counts(CALLS, NOON, NOON + HOUR, by=("status", "model"), where={"model": "a"})
        assert pairs == {("ok", "a"): 1, ("bad", "a"): 1}
        assert counts(CALLS, NOON, NOON + HOUR, by=("agent",), where={"model": None}) == {(None,): 1}
        measure_rollups.compact()


def test_one_value_among_many_is_picked_by_the_database_and_is_the_same_sum(app):
    added(*((CALLS, NOON - hour * HOUR, ("a", f"agent {n}", "ok")) for n in range(40) for hour in (0, 30, 200)))
    bounds = (NOON - 10 * DAY, NOON - DAY, NOON + HOUR)
    for _ in range(2):
        for value in ("agent 7", "agent 39", "nobody", None, 'a"b'):
            everybody, one = read_all([Ask(CALLS, bounds, ("agent",)), Ask(CALLS, bounds, (), {"agent": value})])
            for bucket, of_one in zip(everybody, one, strict=True):
                assert of_one.get((), Sum()).count == bucket.get((value,), Sum()).count
        measure_rollups.compact()
    coarse = measure_reads._pieces([("trial", ("agent",), bounds, False, "coarse", digest_of(written(("agent 7",))))])
    assert len(measure_reads._rows(db.session.connection(), coarse)[0]) == 3


def test_a_breakdown_costs_rows_of_its_own_cut_only(app):
    added(*((CALLS, NOON + hour * HOUR, ("a", f"agent {n}", "ok")) for n in range(40) for hour in (-24, -23)))
    measure_rollups.compact()
    pieces = db.session.execute(db.text(
        "SELECT c.names, count(*) FROM measure_rollups r JOIN measure_cuts c ON c.id = r.cut_id WHERE r.resolution = 3 "
        "AND c.scope = 'trial' GROUP BY c.names"
    ))  # fmt: skip
    assert dict(pieces.all()) == {
        "[]": 1, '["model"]': 1, '["agent"]': 40, '["status"]': 1, '["model","status"]': 1, '["model","agent","status"]': 40,
    }  # fmt: skip


def test_a_dimension_that_a_measure_does_not_have_is_refused(app):
    with pytest.raises(Invalid, match=r"trial\.people has the dimensions model"):
        read_totals(PEOPLE, NOON, NOON + HOUR, by=("agent",))


def test_sums_of_money_are_exact_beyond_64_bits(app):
    for _ in range(3):
        with unit_of_work() as session:
            deltas = Deltas()
            deltas.add(COST, NOON, A, total=2**62 + 1)
            deltas.write(session.connection())
        measure_rollups.compact()
    assert read_totals(COST, NOON, NOON + HOUR)[A].total == 3 * 2**62 + 3


def test_percentiles_of_merged_minutes_are_within_two_percent(app):
    for minute in range(0, 90, 3):
        with unit_of_work() as session:
            deltas = Deltas()
            for step in range(40):
                deltas.add(TOOK, NOON + minute * MINUTE, ("a", "ok"), value=(minute * 40 + step + 1) * 1_000)
            deltas.write(session.connection())
        measure_rollups.compact()
    found = read_totals(TOOK, NOON, NOON + 2 * HOUR, by=())[()]
    every = sorted((minute * 40 + step + 1) * 1_000 for minute in range(0, 90, 3) for step in range(40))
    assert found.count == len(every) == 1_200
    assert percentile(found.sketch, 0.95) == pytest.approx(every[1_139], rel=0.02)
    assert percentile(Sum().sketch, 0.5) is None


def test_different_things_are_counted_once_over_any_number_of_buckets(app):
    for hour in range(-30, 2):
        seen(NOON + hour * HOUR, "ada", f"guest {hour}")
        seen(NOON + hour * HOUR, "ada", model="b")
    for _ in range(2):
        assert read_totals(PEOPLE, NOON - 2 * DAY, NOON + 2 * HOUR, by=())[()].distinct == 33
        assert read_totals(PEOPLE, NOON - 2 * DAY, NOON + 2 * HOUR)["b",].distinct == 1
        measure_rollups.compact()


def test_buckets_of_any_width_add_up(app):
    added(*((CALLS, NOON - minute * MINUTE, A) for minute in range(0, 3_000, 7)))
    measure_rollups.compact()
    bounds = [NOON - 3_000 * MINUTE, NOON - 2_000 * MINUTE, NOON - 1_999 * MINUTE, NOON - DAY, NOON + MINUTE]
    found = read_all([Ask(CALLS, bounds, ())])[0]
    expected = Counter(next(i for i in range(4) if NOON - m * MINUTE < bounds[i + 1]) for m in range(0, 3_000, 7))
    assert [bucket[()].count if bucket else 0 for bucket in found] == [expected[place] for place in range(4)]


def test_reading_by_resolution_gives_the_start_of_each_bucket(app):
    added((CALLS, NOON + 5 * MINUTE, A), (CALLS, NOON + 20 * MINUTE, A), (CALLS, NOON + 70 * MINUTE, B))
    hours = read(CALLS, NOON, NOON + 2 * HOUR, resolution="hour")
    quarters = read(CALLS, NOON, NOON + 2 * HOUR, resolution="quarter")
    assert {key: found.count for key, found in hours.items()} == {(NOON, A): 2, (NOON + HOUR, B): 1}
    assert sorted(at for at, _ in quarters) == [NOON, NOON + QUARTER, NOON + HOUR]
    assert read(CALLS, NOON, NOON, resolution="day") == {}


def test_several_asks_are_answered_by_two_statements(app):
    added((CALLS, NOON, A), (COST, NOON, B))
    measure_rollups.compact()
    from pilothouse.testing import count_queries

    asks = [Ask(CALLS, (NOON, NOON + HOUR), by) for by in ((), ("model",), ("agent",), None)]
    with count_queries() as statements:
        answers = read_all([*asks, Ask(COST, (NOON - DAY, NOON, NOON + HOUR), ("model",))])
    assert len(statements) == 2
    assert [len(answer) for answer in answers] == [1, 1, 1, 1, 2]


def test_a_measure_that_nobody_declares_is_kept_as_a_whole(app):
    added(("gone.calls", NOON, ("a",)), ("gone.calls", NOON, ("b",)), (CALLS, NOON, ("too", "few")))
    for _ in range(2):
        assert counts("gone.calls", NOON, NOON + HOUR) == {(): 2}
        assert counts(CALLS, NOON, NOON + HOUR, by=()) == {(): 1}
        assert counts(CALLS, NOON, NOON + HOUR, by=("model",)) == {}
        measure_rollups.compact()


def test_old_bounds_move_to_the_start_of_what_is_kept(app):
    day = NOON // DAY * DAY
    for age, minute in ((30, 37), (200, 37)):
        added((CALLS, day - age * DAY + 9 * HOUR + minute * MINUTE, A))
        measure_rollups.compact()
    month, long_ago = day - 30 * DAY + 9 * HOUR, day - 200 * DAY + 9 * HOUR
    assert counts(CALLS, month + 44 * MINUTE, month + HOUR, by=()) == {(): 1}
    assert counts(CALLS, month + 46 * MINUTE, month + HOUR, by=()) == {}
    assert counts(CALLS, long_ago + 59 * MINUTE, long_ago + HOUR + 10 * MINUTE, by=()) == {(): 1}


moments = st.integers(0, 3 * DAY // MINUTE).map(lambda minute: NOON - minute * MINUTE)
series = st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y"]), st.sampled_from(["ok", "bad"]))
steps = st.lists(st.one_of(st.tuples(moments, series, st.integers(0, 10**7)), st.just("compact")), max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, ends=st.tuples(moments, moments))
def test_reads_equal_a_recount_whenever_compaction_happens(app, steps, ends):
    with unit_of_work() as session:
        for table in ("measure_deltas", "measure_rollups"):
            session.execute(db.text(f"DELETE FROM {table}"))
    since, until = min(ends), max(ends) + MINUTE
    expected = defaultdict(lambda: [0, 0])
    for step in steps:
        if step == "compact":
            measure_rollups.compact_step()
            continue
        at, values, value = step
        added((COST, at, values), value=value)
        if since <= at < until:
            expected[values][0] += 1
            expected[values][1] += value
    found = read_totals(COST, since, until)
    assert {v: [f.count, f.total] for v, f in found.items()} == expected
    by_model = read_totals(COST, since, until, by=("model",))
    assert sum(f.total for f in by_model.values()) == sum(total for _, total in expected.values())


@given(st.lists(st.integers(0, 5 * DAY // MINUTE), min_size=2, max_size=6, unique=True))
def test_pieces_cover_a_period_once_and_without_a_gap(minutes):
    bounds = [minute * MINUTE for minute in sorted(minutes)]
    pieces = sorted((start, end) for _, _, start, end in pieces_of(bounds))
    assert pieces[0][0] == bounds[0]
    assert pieces[-1][1] == bounds[-1]
    assert all(first[1] == second[0] for first, second in pairwise(pieces))
    assert all(start % size == 0 == end % size for _, r, start, end in pieces_of(bounds) for size in [SIZES[r]])


@given(st.tuples(*[st.integers(0, 30 * DAY // MINUTE)] * 3))
def test_pieces_about_a_period_are_the_period_when_what_is_too_much_is_taken_back(minutes):
    start, end, now = (minute * MINUTE for minute in (min(minutes[:2]), max(minutes[:2]) + 1, minutes[2]))
    steps = defaultdict(int)
    for part, resolution, first, last in pieces_about(start, end, now):
        size = SIZES[resolution]
        assert start_of(first, resolution) == first < last == start_of(last, resolution)
        assert (size >= HOUR) == (part != "fine")
        steps[first] += -1 if part == "over" else 1
        steps[last] -= -1 if part == "over" else 1
    assert {at: step for at, step in steps.items() if step} == {start: 1, end: -1}


def test_six_days_are_a_week_without_a_day_and_what_was_only_then_is_not_there(app):
    sunday = NOON // DAY * DAY - (NOON // DAY + 3) % 7 * DAY - DAY
    days = [sunday - day * DAY for day in range(7)]
    added(*((COST, day + HOUR, ("a", f"agent {n}", "ok")) for day in days for n in range(3)), value=70)
    added((COST, sunday + 2 * HOUR, ("a", "only on Sunday", "ok")), value=7_000)
    for _ in range(2):
        found = read_totals(COST, days[-1], sunday, by=("agent",))
        assert {key: (one.count, one.total) for (key,), one in found.items()} == {f"agent {n}": (6, 420) for n in range(3)}
        assert {value for one in found.values() for value in one.sketch.counts().values()} == {6}
        everything = read_totals(COST, days[-1], sunday, by=())[()]
        assert percentile(everything.sketch, 0.99) == pytest.approx(70, rel=0.01)
        measure_rollups.compact()
    assert {part for part, *_ in pieces_about(days[-1], sunday, NOON)} == {"coarse", "over"}


def test_of_many_values_the_largest_are_told_apart_and_the_rest_is_one(app):
    for number in range(40):
        added((COST, NOON - DAY, ("a", f"agent {number:02}", "ok")), value=1_000 + number)
        added((COST, NOON, ("a", f"agent {number:02}", "ok")), value=100 - number)
    added((COST, NOON, ("a", None, "ok")), value=1)
    bounds = (NOON - 2 * DAY, NOON - HOUR, NOON + HOUR)
    for _ in range(2):
        before, found = read_all([Ask(COST, bounds, ("agent",), top=3)])[0]
        assert {key: found[key].total for key in found} == {
            ("agent 00",): 100, ("agent 01",): 99, ("agent 02",): 98, (None,): 1, ("(other)",): sum(100 - n for n in range(3, 40)),
        }  # fmt: skip
        assert before["agent 00",].total == 1_000
        assert before["(other)",].total == sum(1_000 + n for n in range(3, 40))
        [whole] = read_all([Ask(COST, (NOON - 2 * DAY, NOON + HOUR), ("agent",), top=40)])[0]
        assert len(whole) == 41
        measure_rollups.compact()


def test_the_largest_may_be_those_of_another_measure_of_the_scope(app):
    added(*((CALLS, NOON, ("a", f"agent {n}", "ok")) for n in range(5)), count=1)
    for number in range(5):
        added((COST, NOON, ("a", f"agent {number}", "ok")), value=10 - number)
    for _ in range(2):
        [found] = read_all([Ask(CALLS, (NOON, NOON + HOUR), ("agent",), top=2, rank=(COST, CALLS))])[0]
        assert {key: one.count for key, one in found.items()} == {("agent 0",): 1, ("agent 1",): 1, ("(other)",): 3}
        measure_rollups.compact()


def test_one_series_of_many_is_looked_up_at_each_hour(app):
    added(*((CALLS, NOON - hour * HOUR, ("a", f"agent {n}", "ok")) for n in range(30) for hour in range(48)))
    measure_rollups.compact()
    ask = Ask(CALLS, range(NOON - 47 * HOUR, NOON + 2 * HOUR, HOUR), (), {"agent": "agent 7"})
    assert [bucket[()].count for bucket in read_all([ask])[0]] == [1] * 48


def test_what_happened_within_a_minute_is_not_lost_between_two_bounds(app):
    added((CALLS, NOON, A))
    assert counts(CALLS, NOON + 10_000, NOON + 20_000) == {A: 1}


def test_what_lies_across_the_bound_of_two_periods_belongs_to_the_later_one(app):
    at = NOON - 150 * DAY
    added((CALLS, at, A))
    before, after = Ask(CALLS, (at - DAY, at + MINUTE), joined=True), Ask(CALLS, (at + MINUTE, at + DAY))
    assert [dict(bucket) for [bucket] in read_all([before, after])] == [{}, {A: Sum(count=1)}]
