"""A plugin that failed to load is told of once: by the audit log's last word, not by each start or process."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from pilothouse import containment
from pilothouse.audit import AuditEntry
from pilothouse.db import db
from pilothouse.plugins.discovery import Candidate, discover
from pilothouse.plugins.guard import TRIES, PluginFailed
from pilothouse.testing import environment, let_go, make_app, open_browser_session
from pilothouse.work.runner import drain


@pytest.fixture
def broken():
    """Return the installed plugins and one that cannot be imported."""
    return [*discover(), Candidate("weather", None, "trial", "1.2", failure="ImportError: no module named clouds")]


@pytest.fixture
def start(database_url, tmp_path):
    """Start an application on the test's database, as each process does."""
    started = []

    def make(plugins=None):
        app = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=database_url), plugins)
        started.append(app)
        return app

    yield make
    for app in started:
        let_go(app)


def said():
    db.session.rollback()
    rows = db.session.scalars(select(AuditEntry).where(AuditEntry.target == "plugin:weather").order_by(AuditEntry.seq))
    return [row.action for row in rows]


def test_admins_are_told_once_however_often_is_looked(start, broken):
    for _ in range(2):
        app = start(broken)
        with app.app_context():
            open_browser_session("admin")
            containment.look({})
            containment.look({})
            assert said() == [containment.CONTAINED]


def test_owners_and_admins_get_one_notice_with_the_reason_and_others_none(start, broken):
    app = start(broken)
    with app.app_context():
        clients = {role: app.test_client() for role in ("owner", "admin", "member")}
        for role, client in clients.items():
            client.set_cookie("pilothouse_session", open_browser_session(role))
        containment.look({})
        drain(app)
        told = {role: client.get("/api/notifications").json["data"] for role, client in clients.items()}
    assert {role: len(lines) for role, lines in told.items()} == {"owner": 1, "admin": 1, "member": 0}
    line = told["owner"][0]
    assert (line["title"], line["category"], line["count"]) == ("A plugin does not work: weather", "system", 1)
    assert "no module named clouds" in line["message"]


def test_a_plugin_that_works_again_and_breaks_again_is_news(start, broken, make_plugin):
    sound = [*broken[:-1], make_plugin("weather")]
    for plugins in (broken, sound, sound, broken):
        with start(plugins).app_context():
            containment.look({})
            expected = said()
    assert expected == [containment.CONTAINED, containment.RECOVERED, containment.CONTAINED]


def test_processes_that_look_at_once_tell_once(start, broken):
    app = start(broken)
    barrier = threading.Barrier(4)

    def look():
        with app.app_context():
            barrier.wait()
            containment.look({})

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with app.app_context():
        assert said() == [containment.CONTAINED]


def test_where_all_is_well_nothing_is_written(start):
    with start().app_context():
        containment.look({})
        assert db.session.scalars(select(AuditEntry.action)).all() == []


def fail(app, times):
    guard = app.extensions["pilothouse"].registry.guard
    for _ in range(times):
        with pytest.raises(PluginFailed):
            guard.call("telemetry", "panel telemetry.numbers", lambda: 1 // 0)


def rests():
    db.session.rollback()
    return list(db.session.scalars(select(AuditEntry.target).where(AuditEntry.action == containment.RESTED)))


def test_a_part_that_fails_again_and_again_is_told_of_when_it_begins_to_rest(start):
    app = start()
    with app.app_context():
        admin, member = app.test_client(), app.test_client()
        admin.set_cookie("pilothouse_session", open_browser_session("admin"))
        member.set_cookie("pilothouse_session", open_browser_session("member"))
        fail(app, TRIES - 1)
        admin.get("/healthz")
        assert rests() == []
        fail(app, 3)  # the fifth failure, and two that it rests through
        admin.get("/healthz")
        admin.get("/healthz")
        assert rests() == ["plugin:telemetry"]
    drain(app)
    [notice] = admin.get("/api/notifications").json["data"]
    assert notice["title"] == "A plugin does not work: telemetry"
    assert "panel telemetry.numbers failed 5 times in a row" in notice["message"]
    assert member.get("/api/notifications").json["data"] == []


def test_what_worked_again_is_told_of_anew(start):
    app = start()
    with app.app_context():
        guard = app.extensions["pilothouse"].registry.guard
        for _ in range(2):
            fail(app, TRIES)
            app.test_client().get("/healthz")
            guard.failures[("telemetry", "panel telemetry.numbers")].resting_until = 0
            guard.call("telemetry", "panel telemetry.numbers", lambda: 1)
        assert rests() == ["plugin:telemetry"] * 2
