"""The plugin as others see it: what it adds, under which names, and that it can be switched off."""

from __future__ import annotations

import pytest

from pilothouse.db import unit_of_work
from pilothouse.plugins.switches import switch
from pilothouse.runtime import runtime
from pilothouse.work.runner import drain
from pilothouse_executions import events


def contributed(kind):
    return {getattr(item, "name", None) for plugin, item in runtime().registry.all(kind) if plugin == "executions"}


def test_it_is_loaded_and_stands_before_those_that_need_it(app):
    names = [plugin.name for plugin in runtime().registry.loaded]
    assert names.index("executions") < min(names.index(name) for name in ("errors", "tokens"))


def test_it_adds_what_others_build_on(app):
    assert contributed("measures") == {"executions.count", "executions.duration_ms"}
    assert contributed("permissions") == {"executions.runs.view", "executions.runs.control", "executions.runs.report"}
    assert contributed("tasks") == {"executions.mark_lost", "executions.expire"}
    assert contributed("settings") == {"PILOTHOUSE_LOST_AFTER"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(events.Finished, "finished"), (events.Failed, "failed"), (events.Lost, "lost"), (events.CommandGiven, "command_given"),
     (events.UsageCorrected, "usage_corrected")],
)  # fmt: skip
def test_events_carry_its_name(kind, name):
    assert kind.name() == f"executions.{name}"


def test_silent_runs_are_looked_for_by_the_schedule(app, store, execution, time_of_day):
    from pilothouse.work.jobs import enqueue

    entry = next(item for plugin, item in runtime().registry.all("beat_schedule") if plugin == "executions")
    store.send(execution("a"))
    time_of_day.pass_by(31 * 60_000)
    enqueue(entry.task, {})
    drain(app)
    assert store.run("a")["status"] == "lost"


def test_how_long_silence_may_last_is_a_setting(build_app):
    with build_app(PILOTHOUSE_LOST_AFTER="90s").app_context():
        assert runtime().settings["PILOTHOUSE_LOST_AFTER"] == 90_000


def test_switched_off_it_answers_nothing_and_keeps_its_rows(app, api, store, execution):
    api.send(execution("a"))
    for other in ("errors", "tokens"):
        with unit_of_work():
            switch(other, enabled=False, by="me")
    with unit_of_work():
        switch("executions", enabled=False, by="me")
    assert api.get("/api/executions").status_code == 404
    assert api.send(execution("b"))["rejected"][0]["errors"][0]["message"] == "no enabled plugin records 'execution'"
    assert store.run("a")["status"] == "running"
