"""Ingest: counted, committed before the answer, shared commits, and a plugin's fault that stays the plugin's own."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace

import msgspec
import pytest
from sqlalchemy import text

from pilothouse.contract.events import Event as Fact
from pilothouse.contract.events import Reaction
from pilothouse.contract.recording import Enricher, Measure, Recorded, Recorder, Source
from pilothouse.db import db, unit_of_work
from pilothouse.errors import StorageFull, StoreAway
from pilothouse.ingest_recording import MOST_SPLITS
from pilothouse.measure_reads import read_totals
from pilothouse.outcomes import Outcome
from pilothouse.plugins.switches import switch
from pilothouse.runtime import runtime
from pilothouse.signals import Event, Signal
from pilothouse.testing import Api

RUN = {"type": "execution", "workflow": "w", "status": "running"}
ME = Source(None, "test")


class Note(Signal, frozen=True, kw_only=True, tag="trial_note"):
    """A plugin's signal; some bodies break the recorder."""

    body: str = ""


class Noted(Fact, frozen=True, kw_only=True):
    """A note was recorded."""

    note_id: str

    @classmethod
    def name(cls):
        return "trial.noted"


def rows(statement):
    db.session.rollback()
    return [tuple(row) for row in db.session.execute(text(statement))]


def count(table):
    return rows(f"SELECT count(*) FROM {table}")[0][0]


def notes():
    return sorted(row[0] for row in rows("SELECT id FROM trial_notes"))


def note(name, body=""):
    return Note(id=name, body=body)


def submit(*signals, outcome=None):
    return runtime().ingest.submit(enumerate(signals), ME, outcome)


def record_notes(batch):
    """Store notes; a body of "break" is a defect, "refuse" a refusal, and what is known is a duplicate."""
    refused = {place: "not wanted" for place, signal in enumerate(batch.signals) if signal.body == "refuse"}
    known = {row[0] for row in batch.connection.exec_driver_sql("SELECT id FROM trial_notes")}
    duplicates = frozenset(place for place, signal in enumerate(batch.signals) if signal.id in known)
    for place, signal in enumerate(batch.signals):
        if place not in duplicates and place not in refused:
            batch.measures.add("trial.notes", batch.received_at, ())
            batch.publish(Noted(note_id=signal.id))
            batch.connection.execute(text("INSERT INTO trial_notes VALUES (:id, :body)"), {"id": signal.id,
            "body": signal.body})
    if any(signal.body == "break" for signal in batch.signals):
        raise ZeroDivisionError("the recorder broke")
    return Recorded(duplicates, refused)


@pytest.fixture
def trial(build_app, make_plugin):
    """Return what builds an application with a plugin that records notes; further hooks replace its own."""

    def build(**hooks):
        heard = []
        own = {
            "signals": [Note], "recorders": [Recorder(Note, record_notes, owner=True)],
            "measures": [Measure("trial.notes", "Notes", "1", "count")], "events": [Noted],
            "reactions": [Reaction("trial.hear", Noted, lambda fact: heard.append(fact.note_id), when="now")],
        }
        app = build_app(plugins=[make_plugin("trial", **{**own, **hooks})])
        app.app_context().push()
        with unit_of_work() as session:
            session.execute(text("CREATE TABLE trial_notes (id TEXT PRIMARY KEY, body TEXT)"))
        return SimpleNamespace(app=app, heard=heard, failures=runtime().registry.guard.of("trial"))

    yield build
    from flask.globals import _cv_app

    while _cv_app.get(None) is not None:
        _cv_app.get().pop()


# --- the answer ---


def test_signals_are_counted_by_what_became_of_them(either_app, either_api):
    answer = either_api.send({**RUN, "id": "a"}, {**RUN, "id": "a"}, {**RUN, "id": "b", "status": "x"}, {**RUN, "id": "c"})
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    assert [(one["index"], one["id"]) for one in answer["rejected"]] == [(2, "b")]
    assert answer["rejected"][0]["errors"][0]["path"] == "signals[2].status"
    assert "commands" not in answer


def test_every_type_is_recorded_in_one_request(either_app, either_api):
    answer = either_api.send(
        {"type": "event", "id": "e", "name": "n"}, {"type": "error", "id": "x", "error_type": "E", "message": "m",
        "execution_id": "a"},
        {"type": "token_usage", "id": "t", "model": "m", "prompt_tokens": 1, "completion_tokens": 1, "execution_id": "a"},
        {"type": "step", "id": "s", "execution_id": "a", "name": "n"}, {**RUN, "id": "a"},
    )
    assert answer == {"accepted": 5, "duplicates": 0, "rejected": []}
    assert [count(table) for table in ("events", "errors", "token_usage", "steps", "executions")] == [1] * 5


def test_what_was_answered_is_committed(app, api):
    api.send({**RUN, "id": "a"})
    with db.engine.connect() as other:
        assert other.scalar(text("SELECT count(*) FROM executions")) == 1


def test_refusals_come_in_the_order_of_the_request(app, api):
    answer = api.send({}, {"type": "event", "id": "e", "name": "n"}, {"type": "nothing"}, {**RUN})
    assert [one["index"] for one in answer["rejected"]] == [0, 2, 3]
    assert answer["rejected"][0]["errors"][0]["path"] == "signals[0].type"


def test_one_signal_a_line_is_read_too(app, api):
    body = json.dumps({**RUN, "id": "a"}) + "\r\n\n" + json.dumps({**RUN, "id": "b"}) + "\nnonsense"
    for kind in ("application/x-ndjson", "application/jsonl; charset=utf-8", "application/ndjson"):
        answer = api.post("/api/ingest", data=body, headers={"Content-Type": kind}).json
        assert answer["accepted"] + answer["duplicates"] == 2
        assert [one["index"] for one in answer["rejected"]] == [2]


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [("{}", "application/json", 400, "malformed"), ("{", "application/json", 400, "malformed"), ("", "application/json", 400,
     "malformed"),
     ("a=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"), ("<a/>", "text/xml", 415,
     "unsupported_media_type"),
     ("[" * 5_000, "application/json", 400, "malformed")],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_refused_as_a_whole(api, data, kind, status, code):
    response = api.post("/api/ingest", data=data, headers={"Content-Type": kind})
    assert response.status_code == status
    assert response.json["type"].endswith(f"/{code}")


def test_ten_megabytes_are_taken_and_not_one_byte_more(app, api):
    line = json.dumps({"type": "event", "id": "e", "name": "n", "properties": {"x": ""}})
    body = line.replace('""', '"' + "x" * (10 * 1024 * 1024 - len(line)) + '"')
    headers = {"Content-Type": "application/x-ndjson"}
    assert api.post("/api/ingest", data=body + " ", headers=headers).status_code == 413
    assert count("events") == 0
    assert api.post("/api/ingest", data=body, headers=headers).json["accepted"] == 1


def test_a_rate_holds_where_one_is_set(build_app):
    app = build_app(PILOTHOUSE_INGEST_RATE="10")
    with app.app_context():
        from pilothouse.identity.access_tokens import create_token

        with unit_of_work():
            api = Api(app.test_client(), create_token("t", ["ingest"])[1])
        assert api.send(*({"type": "event", "id": f"e{n}", "name": "n"} for n in range(10)))["accepted"] == 10
        response = api.post("/api/ingest", json={"signals": [{"type": "event", "id": "more", "name": "n"}]})
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) >= 1
    assert '"ingest"' in response.headers["RateLimit"]


def test_a_request_larger_than_a_seconds_share_passes_and_pays_for_itself(build_app):
    app = build_app(PILOTHOUSE_INGEST_RATE="100")
    with app.app_context():
        from pilothouse.identity.access_tokens import create_token

        with unit_of_work():
            api = Api(app.test_client(), create_token("t", ["ingest"])[1])
        first, second = (
            {"signals": [{"type": "event", "id": f"{name}{n}", "name": "n"} for n in range(3_000)]} for name in "ab"
        )
        assert api.post("/api/ingest", json=first).json["accepted"] == 3_000
        refused = api.post("/api/ingest", json=second)
        assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (429, True)
        assert api.send({"type": "event", "id": "small", "name": "n"})["accepted"] == 1


def test_the_same_key_gets_the_first_answer_again(either_app, either_api):
    send = {"json": {"signals": [{**RUN, "id": "a"}]}, "headers": {"Idempotency-Key": "k"}}
    first = either_api.post("/api/ingest", **send)
    again = either_api.post("/api/ingest", **send)
    assert first.json == again.json == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert either_api.post("/api/ingest", json={"signals": []}, headers={"Idempotency-Key": "k"}).status_code == 409
    assert count("executions") == 1


# --- an execution's own error ---


def test_the_error_of_an_execution_is_recorded_once_and_not_counted(either_app, either_api):
    failed = {**RUN, "id": "a", "status": "failed", "finished_at": 5_000, "error": {"error_type": "E", "message": "m"}}
    assert either_api.send(failed, failed)["accepted"] == 1
    either_api.send(failed)
    assert rows("SELECT id, error_type, execution_id, created_at FROM errors") == [("a:error", "E", "a", 5_000)]


def test_errors_of_executions_with_long_ids_are_told_apart(app, api):
    ids = ["x" * 127 + end for end in "ab"]
    api.send(*({**RUN, "id": one, "status": "failed", "error": {"error_type": "E", "message": "m"}} for one in ids))
    assert count("errors") == 2
    assert {row[0] for row in rows("SELECT execution_id FROM errors")} == set(ids)


def test_the_error_keeps_an_id_of_its_own(app, api):
    api.send({**RUN, "id": "a", "status": "failed", "error": {"id": "mine", "error_type": "", "message": "m"}})
    assert rows("SELECT id, error_type FROM errors") == [("mine", "Error")]


# --- plugins ---


def test_a_plugin_records_a_type_of_its_own(trial):
    found = trial()
    outcome = submit(note("a"), note("b"))
    assert (outcome.accepted, notes(), found.heard) == (2, ["a", "b"], ["a", "b"])
    assert read_totals("trial.notes", 0, 2**42)[()].count == 2


def test_duplicates_and_refusals_of_a_recorder_are_told(trial):
    trial()
    submit(note("a"))
    outcome = submit(note("a"), note("b", "refuse"), note("c"))
    assert (outcome.accepted, outcome.duplicates) == (1, 1)
    assert [(one.index, one.id, one.errors[0].message) for one in outcome.rejected] == [(1, "b", "not wanted")]


def test_one_signal_that_breaks_a_recorder_takes_no_other_with_it(trial):
    found = trial()
    outcome = submit(*(note(f"n{n:03}", "break" if n == 77 else "") for n in range(100)))
    assert (outcome.accepted, len(notes()), len(found.heard)) == (99, 99, 99 + len(found.heard) - 99)
    assert [one.index for one in outcome.rejected] == [77]
    assert outcome.rejected[0].errors[0].message == "the plugin trial failed to record it"
    assert read_totals("trial.notes", 0, 2**42)[()].count == 99


def test_a_recorder_that_always_breaks_is_not_tried_for_ever(trial):
    calls = []
    trial(recorders=[Recorder(Note, lambda batch: calls.append(1) or 1 // 0, owner=True)])
    outcome = submit(*(note(f"n{n}") for n in range(1_000)))
    assert len(outcome.rejected) == 1_000
    assert len(calls) <= 2 * MOST_SPLITS + 2  # the first try is without savepoints


def test_a_recorder_that_answers_nonsense_refuses_its_own_signals_alone(trial):
    trial(recorders=[Recorder(Note, lambda _: True, owner=True)])
    outcome = submit(note("a"))
    assert [rejection.errors[0].message for rejection in outcome.rejected] == ["the plugin trial failed to record it"]
    assert "must return Recorded or None, not True" in runtime().registry.guard.of("trial")["record trial_note"].last_reason


ENDS = {
    "commit": lambda _: db.session.commit(), "rollback": lambda _: db.session.rollback(), "remove": lambda _: db.session.remove(),
    "connection.commit": lambda batch: batch.connection.commit(), "connection.close": lambda batch: batch.connection.close(),
    "connection.rollback": lambda batch: batch.connection.rollback(),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_a_recorder_that_would_end_the_transaction_takes_nothing_from_others(trial, end):
    trial(recorders=[Recorder(Note, record_notes, owner=True), Recorder(Note, ENDS[end])])
    assert [submit(note(name)).accepted for name in "ab"] == [1, 1]
    assert (notes(), read_totals("trial.notes", 0, 2**42)[()].count) == (["a", "b"], 2)
    failed = runtime().registry.guard.of("trial")["record trial_note"]
    assert (failed.count, "the transaction is the open unit of work's" in failed.last_reason) == (2, True)


def test_what_a_failing_recorder_did_is_undone(trial):
    trial()
    outcome = submit(note("a", "break"))
    assert (outcome.accepted, notes()) == (0, [])
    assert read_totals("trial.notes", 0, 2**42) == {}
    assert runtime().registry.guard.of("trial")["record trial_note"].last_reason == "ZeroDivisionError: the recorder broke"


def test_a_failure_is_counted_once_and_makes_the_next_minute_careful(trial):
    tried = []
    trial(recorders=[Recorder(Note, record_notes, owner=True), Recorder(Note, lambda _: tried.append(1) or 1 // 0)])
    assert [submit(note(name)).accepted for name in "abc"] == [1, 1, 1]
    assert len(tried) == 1 + 3  # the first try without savepoints, then each with them
    assert runtime().registry.guard.of("trial")["record trial_note"].count == 3
    assert (notes(), read_totals("trial.notes", 0, 2**42)[()].count) == (["a", "b", "c"], 3)


def test_failures_with_successes_between_are_not_in_a_row(trial):
    trial()
    for number in range(6):
        submit(note(f"bad{number}", "break"))
        submit(note(f"good{number}"))
    failures = runtime().registry.guard.of("trial")["record trial_note"]
    assert (failures.count, failures.in_a_row, runtime().registry.guard.rested) == (6, 0, [])


def test_what_was_published_before_a_failure_is_told_once(trial):
    later = [Reaction("trial.hear", Noted, lambda _: None, when="later")]
    trial(recorders=[Recorder(Note, record_notes, owner=True), Recorder(Note, lambda _: 1 // 0)], reactions=later)
    submit(note("a"), note("b"))
    assert count("jobs") == 2


def test_a_counting_recorder_that_fails_takes_nothing_from_the_owner(trial):
    seen = []
    counting = [Recorder(Note, lambda _: 1 // 0), Recorder(Note, lambda batch: seen.append([s.id for s in batch.signals]))]
    trial(recorders=[*counting, Recorder(Note, record_notes, owner=True)])
    submit(note("a"))
    outcome = submit(note("a"), note("b"))
    assert (outcome.accepted, outcome.duplicates, notes()) == (1, 1, ["a", "b"])
    assert seen == [["a"], ["b"]]  # only what is new is counted


def test_preparing_comes_before_recording_and_may_fail(trial):
    order = []
    prepare = [Recorder(Note, lambda _: order.append("record"), owner=True, prepare=lambda _: order.append("prepare")),
               Recorder(Note, lambda _: order.append("count"), prepare=lambda _: 1 // 0)]  # fmt: skip
    trial(recorders=prepare)
    assert submit(note("a")).accepted == 1
    assert order == ["prepare", "prepare", "record", "count"]  # the first try, without savepoints, ended where it failed


def test_a_type_that_nobody_owns_is_refused_with_that_reason(trial):
    trial(recorders=[Recorder(Note, lambda _: None)])
    outcome = submit(note("a"), Event(id="e", name="n"))
    assert [one.errors[0].message for one in outcome.rejected] == [
        "no enabled plugin records 'event'", "no enabled plugin records 'trial_note'",
    ]  # fmt: skip


def test_signals_of_a_plugin_that_is_off_are_refused(app, api):
    with unit_of_work():
        switch("tokens", enabled=False, by="me")
    answer = api.send({"type": "token_usage", "id": "t", "model": "m", "prompt_tokens": 1, "completion_tokens": 1}, {**RUN,
    "id": "a"})
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["errors"] == [{"path": "signals[0].type",
    "message": "no enabled plugin records 'token_usage'"}]


def test_an_enricher_fills_in_fields(trial):
    trial(enrichers=[Enricher(Note, lambda notes: [msgspec.structs.replace(one, body="filled") for one in notes])])
    submit(note("a"))
    assert rows("SELECT body FROM trial_notes") == [("filled",)]


@pytest.mark.parametrize(
    "enrich", [lambda _: 1 // 0, lambda _: None, lambda notes: notes[1:], lambda notes: notes[::-1], lambda notes: [1, 2]]
)
def test_an_enricher_that_fails_changes_nothing(trial, enrich):
    found = trial(enrichers=[Enricher(Note, enrich)])
    assert submit(note("a"), note("b")).accepted == 2
    assert notes() == ["a", "b"]
    assert runtime().registry.guard.of("trial")["enrich trial_note"].count == 1
    assert found.heard == ["a", "b"]


# --- one transaction, shared or the caller's own ---


def test_requests_that_wait_share_one_commit(app):
    commits = []
    from sqlalchemy import event

    event.listen(db.engine, "commit", lambda _: commits.append(1))
    release = threading.Lock()
    release.acquire()
    ingest = runtime().ingest
    with ingest._commit_lock:
        threads = [threading.Thread(target=send_from, args=(app, f"t{n}")) for n in range(8)]
        for thread in threads:
            thread.start()
        while len(ingest._waiting) < 8:
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert len(commits) == 1
    assert count("events") == 80


def test_what_another_request_stored_for_this_one_can_be_read_at_once(app):
    ingest, read = runtime().ingest, []

    def reading() -> None:
        with app.app_context():
            for _ in range(2):
                read.append(db.session.scalar(text("SELECT count(*) FROM events")))  # a reading transaction stays open
                submit(Event(id="e", name="n"))

    thread = threading.Thread(target=reading)
    with ingest._commit_lock:
        thread.start()
        while not ingest._waiting:
            time.sleep(0.01)
        ingest._work_off(ingest._take())
    thread.join()
    assert read == [0, 1]


def send_from(app, name):
    with app.app_context():
        outcome = submit(*(Event(id=f"{name}-{n}", name="n") for n in range(10)))
    assert outcome.accepted == 10


def test_inside_of_a_unit_of_work_signals_commit_with_it(app):
    with pytest.raises(KeyError), unit_of_work():
        assert submit(Event(id="e", name="n")).accepted == 1
        raise KeyError
    assert count("events") == 0
    with unit_of_work():
        submit(Event(id="e", name="n"))
    assert count("events") == 1


def test_nobody_waits_for_a_caller_s_own_transaction(app):
    done = []
    with unit_of_work():
        submit(Event(id="mine", name="n"))
        thread = threading.Thread(target=lambda: (send_from(app, "other"), done.append(1)))
        thread.start()
        submit(Event(id="mine-too", name="n"))  # would hang here if it stood in the other's queue
    thread.join()
    assert done == [1]
    assert count("events") == 12


def test_nothing_costs_nothing(app):
    before = Outcome(duplicates=3)
    assert submit(outcome=before) is before


def test_an_outage_is_told_to_every_caller_and_stores_nothing(app, full_disk):
    full_disk()
    signals = [Event(id=f"e{n}", name="n" * 200) for n in range(1_000)]
    with pytest.raises(StorageFull):
        submit(*signals)
    assert count("events") == 0


def test_a_full_disk_is_507_over_http(app, api, full_disk):
    full_disk()
    response = api.post("/api/ingest", json={"signals": [{"type": "event", "id": f"e{n}",
    "name": "n" * 200} for n in range(1_000)]})
    assert response.status_code == 507
    assert response.json["type"].endswith("/storage_full")


def test_a_fault_outside_of_plugins_reaches_its_caller_alone(trial):
    trial()
    ingest = runtime().ingest
    good, bad = ([(0, note("a"))], [(0, Event)])  # a class is no signal: nothing is known of its place
    jobs = [SimpleNamespace(items=items, source=ME, outcome=Outcome(), done=False, fault=None) for items in (good, bad)]
    ingest._work_off(jobs)
    assert (jobs[0].outcome.accepted, jobs[0].fault) == (1, None)
    assert isinstance(jobs[1].fault, KeyError)


def test_a_thread_that_is_ended_leaves_nobody_waiting(trial):
    def leave(_batch):
        raise SystemExit

    trial(recorders=[Recorder(Note, leave, owner=True)])
    other = SimpleNamespace(items=[(0, note("b"))], source=ME, outcome=Outcome(), done=False, fault=None)
    runtime().ingest._waiting.append(other)
    with pytest.raises(SystemExit):
        submit(note("a"))
    assert other.done
    assert isinstance(other.fault, StoreAway)


def test_whoever_recorded_something_is_a_topic_that_changed(broker_app, broker_api):
    topics = ("executions", "telemetry")
    before = [runtime().changes.revision(topic) for topic in topics]
    broker_api.send({"type": "event", "id": "e", "name": "n"})
    after = [runtime().changes.revision(topic) for topic in topics]
    assert before[0] == after[0]
    assert before[1] != after[1]
