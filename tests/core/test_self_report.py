"""Pilothouse's reports of itself: what is told, what is left out, and that a report never makes things worse."""

from __future__ import annotations

import gc
import threading
import time

import pytest
from sqlalchemy import text

from pilothouse import clock
from pilothouse.db import db
from pilothouse.runtime import runtime
from pilothouse.self_report import ENVIRONMENT, INNERMOST, MOST_WAITING, OUTERMOST, detail, failure, run
from pilothouse.signals import Event, json_text
from pilothouse.testing import environment, let_go, make_app


def rows(statement):
    db.session.rollback()  # ends the reading transaction of what came before
    return [tuple(row) for row in db.session.execute(text(statement))]


def an_event(name="opened"):
    return Event(id=clock.new_id(), name=name, at=clock.now())


OTHERS = set()  # reporters of applications that other modules keep in this process


@pytest.fixture(autouse=True, scope="module")
def others():
    OTHERS.update(reporters())


def reporters():
    return [thread for thread in threading.enumerate() if thread.name == "self-report" and thread not in OTHERS]


def raised(function):
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def test_each_request_is_an_event_with_its_route_and_status(app, api):
    api.patch("/api/plugins/none", json={"enabled": True})
    runtime().reporter.flush()
    event = rows("SELECT name, component, ok, properties FROM events")[0]
    assert event[:3] == ("PATCH /api/plugins/<name>", "pilothouse.api", 1)
    assert '"status":404' in event[3]


def test_requests_that_would_drown_the_rest_are_left_out(app, api):
    api.send({"type": "event", "id": "e", "name": "n"})
    for path in ("/healthz", "/readyz", "/metrics", "/nowhere"):
        api.get(path)
    api.get("/api/plugins", headers={"Sec-Purpose": "prefetch"})
    api.get("/api/plugins", headers={"X-Ph-Fragment": "1"})
    runtime().reporter.flush()
    assert rows("SELECT name FROM events") == [("n",)]


def test_a_request_knows_who_made_it(app, as_role):
    as_role("admin").get("/api/plugins")
    runtime().reporter.flush()
    user, session = rows('SELECT "user", session FROM events WHERE name = \'GET /api/plugins\'')[0]
    assert (user, session) == rows("SELECT user_id, id FROM sessions")[0]


def test_a_program_is_nobody_who_takes_part(app, api):
    api.get("/api/plugins")
    runtime().reporter.flush()
    assert rows('SELECT "user" FROM events') == [(None,)]


def test_a_fault_in_a_request_is_an_error_with_its_frames(app, api):
    def fall():
        raise RuntimeError("the roof")

    fall.permission = "public"
    app.view_functions["system_api.list_plugins"] = fall
    assert api.get("/api/plugins").status_code == 500
    runtime().reporter.flush()
    found = rows("SELECT error_type, message, environment FROM errors")
    assert found == [("RuntimeError", "the roof", ENVIRONMENT)]


def test_answers_on_purpose_are_no_errors(app, api):
    api.get("/api/executions/none")
    api.post("/api/executions", json={})
    runtime().reporter.flush()
    assert rows("SELECT count(*) FROM errors") == [(0,)]


def test_the_error_of_a_statement_tells_no_sql():
    fault = raised(lambda: db.create_engine("sqlite://").connect().execute(text("SELECT hidden FROM nowhere")))
    told = failure(fault)
    assert "nowhere" in told.message
    assert "SELECT" not in told.message


def test_the_message_of_a_fault_is_scrubbed():
    told = failure(ValueError("refused: Bearer abcdefghijklmnop1234\0"))
    assert told.message == "refused: [scrubbed]1234"


def test_frames_run_from_the_outermost_to_the_innermost_and_say_what_is_ours():
    frames = failure(raised(lambda: clock.to_datetime(10**30))).frames
    assert frames[0].function == "raised"
    assert (frames[-1].module, frames[-1].in_app) == ("pilothouse.clock", True)
    assert all(frame.vars is None for frame in frames)


def test_a_deep_recursion_keeps_both_ends():
    def deeper(n):
        return deeper(n - 1) if n else 1 / 0

    frames = failure(raised(lambda: deeper(OUTERMOST + INNERMOST + 50))).frames
    assert len(frames) == OUTERMOST + INNERMOST
    assert frames[0].function == "raised"


def test_what_pilothouse_did_itself_is_an_execution():
    signal = run("pilothouse start", "succeeded", 1_000, trigger="up", attributes={"port": 8080})
    assert (signal.workflow, signal.environment, signal.trigger) == ("pilothouse start", ENVIRONMENT, "up")
    assert json_text(signal.attributes) == '{"port":8080}'
    assert signal.finished_at >= signal.started_at


def test_the_error_of_a_task_is_not_handled():
    told = detail(raised(lambda: 1 / 0))
    assert (told.error_type, told.handled) == ("ZeroDivisionError", False)


def test_flushing_takes_further_signals_along(app):
    runtime().reporter.add(an_event())
    assert runtime().reporter.flush(an_event("more")) == 2
    assert rows("SELECT count(*) FROM events") == [(2,)]


def test_reports_are_stored_by_themselves_within_seconds(app):
    runtime().reporter.add(an_event())
    deadline = time.monotonic() + 10
    while not rows("SELECT 1 FROM events") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rows("SELECT name FROM events") == [("opened",)]


def test_of_too_many_the_oldest_are_dropped(app):
    runtime().reporter.close()  # so that none is stored meanwhile
    runtime().reporter.add(*(an_event(str(number)) for number in range(MOST_WAITING + 5)))
    assert runtime().reporter.flush() == MOST_WAITING


def test_what_cannot_be_stored_is_dropped(app, full_disk):
    full_disk()
    more = [Event(id=clock.new_id(), name="n" * 255, at=clock.now()) for _ in range(500)]
    assert runtime().reporter.flush(*more) == 500
    assert runtime().reporter.flush() == 0
    assert rows("SELECT count(*) FROM events") == [(0,)]


def test_a_reporter_ends_with_its_application(build_app):
    app = build_app()
    with app.app_context():
        runtime().reporter.add(an_event())
    assert len(reporters()) == 1
    let_go(app)
    reporters()[0].join(5)
    assert reporters() == []


def test_a_closed_reporter_takes_nothing_and_starts_nothing(app):
    runtime().reporter.close()
    runtime().reporter.add(an_event())
    assert runtime().reporter.flush() == 1
    assert rows("SELECT count(*) FROM events") == [(0,)]
    assert reporters() == []


def test_a_forgotten_application_takes_its_reporter_along(migrated, tmp_path):
    app = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=f"sqlite:///{migrated}"))
    app.extensions["pilothouse"].reporter.add(an_event())
    thread = reporters()[0]
    del app
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
