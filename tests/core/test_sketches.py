"""Sketches: percentiles and counts of distinct things that merge and stay within 2 % of the truth."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.errors import Malformed
from pilothouse.sketches import EXACT, Distinct, Histogram, bucket_of, hash_of, middle_of

values = st.integers(0, 10**12)
FRACTIONS = (0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0)


def histogram(observed):
    made = Histogram()
    for value in observed:
        made.add(value, 1)
    return made


def exact_percentile(observed, fraction):
    ordered = sorted(observed)
    lower, part = divmod(fraction * (len(ordered) - 1), 1)
    low, high = ordered[int(lower)], ordered[min(int(lower) + 1, len(ordered) - 1)]
    return low + part * (high - low)


@given(values)
def test_a_bucket_stands_for_its_values_within_one_percent(value):
    assert middle_of(bucket_of(value)) == pytest.approx(value, rel=0.01)


@given(st.lists(values, min_size=1, max_size=300))
def test_percentiles_are_within_two_percent_of_the_exact_ones(observed):
    found = histogram(observed).percentiles(*FRACTIONS)
    for fraction, value in zip(FRACTIONS, found, strict=True):
        assert value == pytest.approx(exact_percentile(observed, fraction), rel=0.02)


def test_percentiles_of_a_heavy_tail_are_within_two_percent():
    chance = random.Random(7)
    observed = [int(chance.lognormvariate(12, 2.5)) for _ in range(50_000)]
    found = histogram(observed).percentiles(0.5, 0.95, 0.99, 0.999)
    exact = [exact_percentile(observed, fraction) for fraction in (0.5, 0.95, 0.99, 0.999)]
    assert found == pytest.approx(exact, rel=0.02)


@given(st.lists(values, max_size=200), st.lists(values, max_size=200))
def test_merging_histograms_is_the_same_as_counting_all_at_once(first, second):
    merged = Histogram.read(histogram(first).write()) if first else Histogram()
    merged.merge(histogram(second))
    assert merged == histogram([*first, *second])
    assert merged.counts() == dict(sorted(Counter(map(bucket_of, [*first, *second])).items()))


@given(st.lists(values, max_size=200), st.integers(1, 3))
def test_what_is_taken_back_is_as_if_it_had_never_been(observed, times):
    made = histogram([5, 70, 900])
    for value in observed:
        made.add(value, times)
    undone = Histogram()
    for value in observed:
        undone.add(value, -times)
    made.merge(Histogram.read(undone.write()) if undone else undone)
    assert made == histogram([5, 70, 900])


@given(st.dictionaries(st.integers(-1, 3000), st.integers(1, 2**40), max_size=300))
def test_a_written_histogram_reads_the_same(counts):
    made = Histogram(counts)
    body = made.write()
    assert (Histogram.read(body) if body else Histogram()) == made
    assert bool(made) == bool(counts)


@given(st.dictionaries(st.integers(-1, 199), st.integers(-5, 2**33).filter(bool), max_size=60))
def test_negative_counts_survive_writing_and_large_merges(counts):
    made = Histogram(counts)
    dense = Histogram.read(Histogram(dict.fromkeys(range(-1, 200), 2 ** 34)).write())
    dense.merge(made)
    assert made.counts() == dict(sorted(counts.items()))
    assert dense.counts() == {b: 2**34 + counts.get(b, 0) for b in range(-1, 200)}


def test_many_small_merges_of_dense_histograms_may_go_below_zero_in_between():
    dense = Histogram(dict.fromkeys(range(100), 3))
    back = Histogram.read(dense.write())
    gone = Histogram.read(Histogram(dict.fromkeys(range(50), -4)).write())
    back.merge(gone)
    assert back.counts() == {**dict.fromkeys(range(50), -1), **dict.fromkeys(range(50, 100), 3)}


def test_a_day_of_a_million_observations_fits_in_three_kilobytes():
    chance = random.Random(3)
    counts = Counter(bucket_of(int(chance.lognormvariate(12, 2))) for _ in range(20_000))
    assert len(Histogram({bucket: number * 50 for bucket, number in counts.items()}).write()) < 3_000


def test_an_empty_histogram_has_no_percentile_and_no_bytes():
    assert Histogram().percentiles(0.5, 0.99) == [None, None]
    assert Histogram().write() == b""
    assert Histogram() != 3


@pytest.mark.parametrize("sketch", [Histogram, Distinct])
def test_foreign_bytes_are_refused(sketch):
    with pytest.raises(Malformed):
        sketch.read(b"?nonsense")


@given(st.lists(st.text(max_size=5)), st.lists(st.text(max_size=5)))
def test_few_distinct_things_are_counted_exactly(first, second):
    one, other = Distinct(map(hash_of, first)), Distinct(map(hash_of, second))
    one.merge(other)
    assert one.count() == len({*first, *second})
    assert bool(one) == bool(first or second)


@pytest.mark.parametrize("number", [EXACT, EXACT + 1, 10_000, 40_000, 150_000])
def test_many_distinct_things_are_counted_within_two_percent(number):
    things = Distinct(hash_of(f"user {n}") for n in range(number))
    assert things.count() == pytest.approx(number, rel=0.02)
    assert Distinct.read(things.write()).count() == things.count()


def test_uniting_counts_things_once_whatever_the_size_of_the_parts():
    whole = Distinct()
    for start in range(0, 60_000, 3_000):
        whole.merge(Distinct(hash_of(f"user {n}") for n in range(start, start + 4_500)))
        whole.merge(Distinct(hash_of(f"user {n}") for n in range(start, start + 100)))
    assert whole.count() == pytest.approx(61_500, rel=0.02)


def test_things_can_be_added_one_by_one_on_either_side_of_the_exact_limit():
    things = Distinct(hash_of(f"user {n}") for n in range(EXACT))
    things.add(hash_of("user 1"))
    assert things.count() == EXACT
    for n in range(EXACT, EXACT + 500):
        things.add(hash_of(f"user {n}"))
    things.add(hash_of("user 1"))
    assert things.count() == pytest.approx(EXACT + 500, rel=0.02)


def test_the_order_of_uniting_does_not_matter():
    parts = [Distinct(hash_of(f"user {n}") for n in range(start, start + 3_000)) for start in range(0, 12_000, 1_500)]
    forth, back = Distinct(), Distinct()
    for part in parts:
        forth.merge(part)
    for part in reversed(parts):
        back.merge(part)
    assert forth.count() == back.count()


def test_hashes_are_the_same_for_ever():
    assert hash_of("ada@example.com") == 0xE71B65CA97373B67
    assert hash_of("\ud800") != hash_of("\ud801")
