"""Compaction: exact under kills and in parallel, bounded in series, and old roll-ups go."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from measure_trial import CALLS, COST, PEOPLE, PINGS, added, number_of, seen, trial_plugin

from pilothouse import clock, measure_reads, measure_rollups, measures
from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.db import db, unit_of_work
from pilothouse.measure_reads import Ask, read_all, read_totals
from pilothouse.measure_rollups import MOST_SERIES, OTHER
from pilothouse.measures import Deltas
from pilothouse.testing import environment, let_go, make_app

COMPACTOR = Path(__file__).parent / "measure_compactor.py"
NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR
A = ("a", "x", "ok")


@pytest.fixture
def app(database_url, tmp_path):
    """Build an application with the trial plugin, on either database; it is an hour past noon."""
    made = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=database_url), [trial_plugin()])
    with made.app_context(), clock.replaced(lambda: NOON + HOUR):
        yield made
    let_go(made)


def total(since=NOON - 40 * DAY, until=NOON + 2 * HOUR, **options):
    found = read_totals(CALLS, since, until, by=(), **options).get(())
    return found.count if found else 0


def test_compaction_takes_small_steps_until_nothing_is_left(app):
    for start in range(0, 30_000, 6_000):
        added(*((CALLS, NOON - n * MINUTE, A) for n in range(start, start + 6_000)))
    assert measure_rollups.compact_step() == 2
    assert measures.lag() == 3
    measure_rollups.compact()
    assert measures.lag() == 0 == measure_rollups.compact_step()
    assert total() == 30_000


def test_compaction_joins_the_unit_of_work_that_is_open(app):
    added((CALLS, NOON, A))

    def compact_and_fail():
        with unit_of_work():
            measure_rollups.compact_step()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        compact_and_fail()
    assert measures.lag() == 1
    assert total() == 1


def test_two_compactions_at_once_count_once(app):
    for n in range(60):
        added((CALLS, NOON - n * MINUTE, A), (CALLS, NOON - n * MINUTE, ("b", str(n), "bad")))

    def run():
        with app.app_context():
            while measures.lag():
                measure_rollups.compact_step()
            db.session.remove()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total() == 120
    assert sum(found.count for found in read_totals(CALLS, NOON - DAY, NOON + HOUR, by=("model",)).values()) == 120


def test_a_delta_that_commits_late_is_not_lost(app):
    """A delta with a lower number may become visible after those with higher ones, where writers run at the same time."""
    added((CALLS, NOON, A))
    with unit_of_work() as session:
        session.execute(db.text("UPDATE measure_deltas SET id = 1000"))
    ids, entries = measure_rollups._oldest()
    added((CALLS, NOON, A))
    with unit_of_work() as session:
        session.execute(db.text("UPDATE measure_deltas SET id = 999 WHERE id <> 1000"))
    assert (ids, len(entries)) == ([1000], 1)
    measure_rollups.compact()
    assert total() == 2


@pytest.fixture
def compactors(tmp_path, database_url):
    """Return a function that starts a process that compacts, and returns its number."""
    command = [sys.executable, str(COMPACTOR), str(tmp_path), database_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nursery:

        def start():
            nursery.stdin.write(b"\n")
            nursery.stdin.flush()
            return int(nursery.stdout.readline())

        yield start
        nursery.stdin.close()


@pytest.mark.kill
def test_kills_at_any_moment_lose_and_double_nothing(app, compactors):
    chance = random.Random(5)
    sent = 0
    for _ in range(25):
        for _ in range(20):
            number = chance.randrange(1, 60)
            added(*((CALLS, NOON - chance.randrange(3 * DAY), (chance.choice("abc"), "x", "ok")) for _ in range(number)))
            sent += number
        process = compactors()
        time.sleep(chance.uniform(0, 0.3))
        os.kill(process, signal.SIGKILL)
        assert total() == sent
    measure_rollups.compact()
    assert total() == sent == sum(f.count for f in read_totals(CALLS, NOON - 4 * DAY, NOON + HOUR, by=("model",)).values())


def test_beyond_the_bound_series_of_a_day_count_as_other(app):
    surplus = 7
    added(*((PINGS, NOON, (f"host {n:05}",)) for n in range(MOST_SERIES + surplus)))
    measure_rollups.compact()
    found = read_totals(PINGS, NOON, NOON + HOUR)
    assert len(found) == MOST_SERIES + 1
    assert found[OTHER,].count == surplus
    assert read_totals(PINGS, NOON, NOON + HOUR, by=())[()].count == MOST_SERIES + surplus


def test_who_is_beyond_the_bound_stays_there_and_the_next_day_begins_anew(app):
    added(*((PINGS, NOON, (f"host {n:05}",)) for n in range(MOST_SERIES + 1)))
    measure_rollups.compact()
    first, last = ("host 00000",), (f"host {MOST_SERIES:05}",)
    added((PINGS, NOON, last), (PINGS, NOON, first), (PINGS, NOON - DAY, last))
    added((PINGS, NOON, last), count=-1)
    measure_rollups.compact()
    found = read_totals(PINGS, NOON, NOON + HOUR)
    assert (found[OTHER,].count, found[first].count, last in found) == (1, 2, False)
    assert read_totals(PINGS, NOON - DAY, NOON - DAY + HOUR)[last].count == 1


def test_roll_ups_that_are_too_fine_for_their_age_go_and_totals_stay(app):
    for days in (1, 10, 50, 300):
        added((CALLS, NOON - days * DAY + 7 * MINUTE, A), (COST, NOON - days * DAY, A), value=3)
        seen(NOON - days * DAY, "ada")
    measure_rollups.compact()
    with clock.replaced(lambda: NOON + 120 * DAY):
        measure_rollups.purge()
        kept = dict(db.session.execute(db.text("SELECT resolution, count(DISTINCT at) FROM measure_rollups GROUP BY 1")).all())
        assert total(NOON - 301 * DAY, NOON + DAY) == 4
    assert kept == {2: 3, 3: 4, 4: 4}


def test_minutes_older_than_they_are_kept_are_not_even_written(app):
    added((CALLS, NOON - 30 * DAY, A), (CALLS, NOON - 200 * DAY, A), (CALLS, NOON - 500 * DAY, A))
    measure_rollups.compact()
    rows = db.session.execute(db.text("SELECT resolution, count(DISTINCT at) FROM measure_rollups GROUP BY 1"))
    assert dict(rows.all()) == {1: 1, 2: 2, 3: 3, 4: 3}
    assert total(NOON - 501 * DAY, NOON + DAY) == 3


def test_a_long_period_reads_its_own_days_by_the_key_alone(app):
    for day in range(60):
        added(*((CALLS, NOON - day * DAY, (model, f"agent {n}", "ok")) for model in "ab" for n in range(20)))
    measure_rollups.compact()
    midnight = NOON // DAY * DAY
    ask = Ask(CALLS, range(midnight - 59 * DAY, midnight + DAY, DAY), ("model",))
    if db.engine.dialect.name == "sqlite":
        plan = db.session.execute(db.text("EXPLAIN QUERY PLAN" + measure_reads.PIECES_SQLITE.replace("?", ":p")), {"p": "[]"})
        steps = [row.detail for row in plan]
        assert "SEARCH r USING PRIMARY KEY (cut_id=? AND resolution=? AND at>? AND at<?)" in steps
    rolled, waiting = measure_reads._rows(
        db.session.connection(), [(0, "trial", '["model"]', 3, ask.bounds[0], ask.bounds[-1], None, DAY)]
    )
    assert (len(rolled), len(waiting)) == (118, 0)
    assert {bucket["a",].count for bucket in read_all([ask])[0]} == {20}


def test_deltas_of_one_transaction_are_one_row(app):
    with unit_of_work() as session:
        deltas = Deltas()
        other = Deltas()
        for n in range(50):
            deltas.add(CALLS, NOON, (f"m{n}", "x", "ok"))
            other.see(PEOPLE, NOON, ("a",), f"user {n}")
        deltas.merge(other)
        deltas.write(session.connection())
    assert number_of("measure_deltas") == 1 == measures.lag()
    assert read_totals(PEOPLE, NOON, NOON + HOUR)["a",].distinct == 50
