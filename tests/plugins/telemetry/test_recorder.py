"""Recording events: each once, counted as it is stored; people and releases are remembered, old rows go."""

from __future__ import annotations

import random

import pytest
from telemetry_parts import NOON, event

from pilothouse import clock, measure_rollups
from pilothouse.clock import DAY, MINUTE
from pilothouse.db import db, unit_of_work
from pilothouse.measure_reads import read_totals
from pilothouse_telemetry import service, tasks
from pilothouse_telemetry.models import ChartMark


def rows(table, columns="*"):
    found = [tuple(row) for row in db.session.execute(db.text(f"SELECT {columns} FROM {table} ORDER BY 1, 2"))]
    db.session.rollback()
    return found


def test_an_event_is_stored_with_all_that_it_says(either):
    signal = event(NOON - 5, id="e1", component="reports", user="ada", session="s1", duration_ms=12.5, ok=True,
                   properties={"page": [1]})  # fmt: skip
    assert either.send(signal) == {"accepted": 1, "duplicates": 0, "rejected": []}
    record = either.get("/api/telemetry/events").json["data"][0]
    assert record == {
        "id": "e1", "name": "report.opened", "component": "reports", "user": "ada", "session": "s1", "duration_ms": 12.5,
        "ok": True, "at": clock.to_rfc3339(NOON - 5), "properties": {"page": [1]},
    }  # fmt: skip


def test_an_event_without_a_time_happened_when_it_came(either):
    either.send(event(None, id="e1"))
    assert either.get("/api/telemetry/events").json["data"][0]["at"] == clock.to_rfc3339(NOON + 30_000)


def test_the_first_report_of_an_id_stays(either):
    answer = either.send(event(id="e1", name="first"), event(id="e1", name="second"), event(id="e2"))
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    again = either.send(event(id="e1", name="third"))
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert {row["name"] for row in either.get("/api/telemetry/events").json["data"]} == {"first", "report.opened"}


def test_shuffled_and_repeated_events_count_as_a_recount_of_the_rows(either):
    chance = random.Random(11)
    signals = [
        event(NOON - chance.randrange(3 * DAY), id=f"e{n}", component=chance.choice(["a", "b", None]), ok=chance.random() > 0.2,
              duration_ms=chance.randrange(9_000), user=f"u{chance.randrange(40)}", session=f"s{chance.randrange(90)}")
        for n in range(600)
    ]  # fmt: skip
    signals += chance.sample(signals, 120)
    chance.shuffle(signals)
    for start in range(0, len(signals), 100):
        either.send(*signals[start : start + 100])
        measure_rollups.compact_step()
    ends = (NOON - 4 * DAY, NOON + MINUTE)
    counted = {key: found.count for key, found in read_totals("events.count", *ends, by=("component", "ok")).items()}
    recount = db.session.execute(db.text("SELECT component, ok, count(*) FROM events GROUP BY component, ok")).all()
    assert counted == {(component, "true" if ok else "false"): number for component, ok, number in recount}
    assert read_totals("events.duration_ms", *ends, by=())[()].total == sum(s["duration_ms"] * 1_000 for s in {
        s["id"]: s for s in signals}.values())  # fmt: skip
    for measure, column in (("events.users", "user"), ("events.sessions", "session")):
        exact = db.session.scalar(db.text(f'SELECT count(DISTINCT "{column}") FROM events'))
        assert read_totals(measure, *ends, by=())[()].distinct == exact


def test_people_are_known_from_their_first_to_their_last_event_in_any_order(either):
    either.send(event(NOON, user="ada"))
    either.send(event(NOON - 9 * DAY, user="ada"), event(NOON - DAY, user="ada"), event(NOON, user="bob"))
    assert rows("event_users") == [("ada", NOON - 9 * DAY, NOON), ("bob", NOON, NOON)]
    assert [name for _, name in rows("event_user_weeks")] == ["ada", "ada", "ada", "bob"]


def test_a_week_begins_on_monday(either):
    monday = NOON // DAY * DAY  # NOON is on a Monday
    either.send(event(monday, user="ada"), event(monday - 1, user="ada"))
    assert rows("event_user_weeks", "week, name") == [(monday - 7 * DAY, "ada"), (monday, "ada")]


def test_a_release_is_marked_when_it_was_first_heard_of(build_app, now):
    app = build_app()
    with app.app_context():
        from pilothouse.identity.access_tokens import create_token
        from pilothouse.testing import Api

        with unit_of_work():
            api = Api(app.test_client(), create_token("test", ["ingest"])[1])
        api.send({"type": "execution", "id": "r1", "workflow": "w", "status": "running", "release": "2.0", "started_at": NOON})
        api.send({"type": "error", "id": "x1", "error_type": "E", "message": "m", "release": "2.0", "at": NOON - DAY})
        api.send({"type": "execution", "id": "r2", "workflow": "w", "status": "running", "release": "2.1", "started_at": NOON})
        assert rows("chart_marks", "at, text") == [(NOON - DAY, "Release 2.0"), (NOON, "Release 2.1")]


def test_old_events_go_in_small_batches_and_their_counts_stay(either):
    either.send(*(event(NOON - 91 * DAY, id=f"old{n}") for n in range(30)), event(NOON, id="new"))
    with unit_of_work():
        assert service.purge_events(NOON - 90 * DAY, 20) == 20
    tasks.purge({})
    assert [row[0] for row in rows("events", "id, name")] == ["new"]
    assert read_totals("events.count", NOON - 92 * DAY, NOON + MINUTE, by=())[()].count == 31


def test_marks_and_weeks_of_more_than_a_year_ago_go(either):
    either.send(event(NOON - 500 * DAY, user="ada"), event(NOON, user="ada"))
    with unit_of_work() as session:
        session.add_all([ChartMark(id="a", at=5, text="old"), ChartMark(id="b", at=NOON, text="new")])
    tasks.purge({})
    assert [row[2] for row in rows("chart_marks")] == ["new"]
    assert len(rows("event_user_weeks")) == 1
    assert rows("event_users")[0][1] == NOON - 500 * DAY


@pytest.mark.parametrize(
    "fields",
    [{"duration_ms": -1}, {"duration_ms": 1e300}, {"ok": "yes"}, {"name": ""}, {"user": 5}, {"at": "yesterday"}],
)
def test_a_wrong_field_is_refused_by_name(either, fields):
    answer = either.send(event() | fields)
    assert answer["accepted"] == 0
    assert next(iter(fields)) in answer["rejected"][0]["errors"][0]["path"]
