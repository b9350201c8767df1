"""The event bus: reactions now and later, in the fact's own transaction, and a failing one harms nobody else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import text

from pilothouse import bus
from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.db import db, unit_of_work
from pilothouse.errors import StorageFull
from pilothouse.plugins.models import PluginSwitch
from pilothouse.plugins.switches import switch
from pilothouse.runtime import runtime
from pilothouse.work.runner import drain


class Happened(Event, frozen=True, kw_only=True):
    """Something happened."""

    what: str
    count: int = 1

    @classmethod
    def name(cls):
        return "trial.happened"


class Followed(Event, frozen=True, kw_only=True):
    """Something followed from it."""

    @classmethod
    def name(cls):
        return "trial.followed"


def put(name):
    db.session().add(PluginSwitch(name=name, switched_off_at=1, switched_off_by="me"))


def rows():
    db.session.rollback()
    return sorted(db.session.scalars(db.select(PluginSwitch.name).where(PluginSwitch.switched_off_by == "me")))


def fall(_event):
    raise ZeroDivisionError


def now(handle, name="trial.note"):
    return Reaction(name, Happened, handle, when="now")


@pytest.fixture
def trial(build_app, make_plugin):
    """Return what builds an application whose plugin has reactions or sinks."""
    contexts = []

    def build(*reactions, **hooks):
        app = build_app(plugins=[make_plugin("trial", events=[Happened, Followed], reactions=reactions, **hooks)])
        contexts.append(app.app_context())
        contexts[-1].push()
        return app

    yield build
    for context in reversed(contexts):
        context.pop()


def publish(*events, name="fact"):
    with unit_of_work():
        put(name)
        for event in events or (Happened(what="x"),):
            bus.publish(event)


def test_a_reaction_runs_in_the_fact_s_own_transaction(trial):
    seen = []
    trial(now(lambda event: (put("reaction"), seen.append(event.what))))
    publish(Happened(what="rain"))
    assert seen == ["rain"]
    assert rows() == ["fact", "reaction"]


def test_a_reaction_sees_the_rows_of_the_fact(trial):
    seen = []
    trial(now(lambda _: seen.append(db.session().get(PluginSwitch, "fact") is not None)))
    publish()
    assert seen == [True]


def test_a_failing_reaction_undoes_only_itself(trial):
    trial(now(lambda _: (put("reaction"), db.session().flush(), fall(None))), now(lambda _: put("other"), "trial.other"))
    publish()
    assert rows() == ["fact", "other"]
    assert runtime().registry.guard.of("trial")["trial.note"].count == 1


def test_a_reaction_whose_rows_cannot_be_stored_fails_alone(trial):
    trial(now(lambda _: put("fact")))
    publish()
    assert rows() == ["fact"]
    assert "IntegrityError" in runtime().registry.guard.of("trial")["trial.note"].last_reason


def test_a_full_disk_in_a_reaction_is_an_outage_for_all(trial, full_disk):
    trial(now(lambda _: [put(f"{number:0200d}") for number in range(2_000)]))
    full_disk()
    with pytest.raises(StorageFull):
        publish()
    assert rows() == []


def test_what_falls_with_the_fact_did_not_happen(trial):
    trial(now(lambda _: put("reaction")), Reaction("trial.later", Happened, put))
    with pytest.raises(KeyError):
        publish_and_fall()
    assert rows() == []
    assert db.session.scalar(text("SELECT count(*) FROM jobs")) == 0


def publish_and_fall():
    with unit_of_work():
        bus.publish(Happened(what="x"))
        raise KeyError


def test_a_later_reaction_gets_the_same_event_from_a_worker(trial):
    heard = []
    app = trial(Reaction("trial.later", Happened, heard.append))
    event = Happened(what="rain", count=3)
    publish(event)
    assert heard == []
    assert drain(app) == 1
    assert heard == [event]


def test_a_reaction_may_publish_on(trial):
    seen = []
    trial(now(lambda _: bus.publish(Followed())), Reaction("trial.second", Followed, seen.append, when="now"))
    publish()
    assert [type(event) for event in seen] == [Followed]


def test_nobody_has_to_listen(trial):
    trial()
    publish(Followed())
    assert rows() == ["fact"]


def test_a_plugin_that_is_off_does_not_react(trial):
    app = trial(now(lambda _: put("reaction")), Reaction("trial.later", Happened, lambda _: put("later")))
    publish()
    with unit_of_work():
        switch("trial", enabled=False, by="you")
    publish(name="fact 2")
    assert drain(app) == 1  # what was waiting when it was switched off is dropped
    assert rows() == ["fact", "fact 2", "reaction"]


def test_a_reaction_that_is_gone_is_dropped(trial):
    trial()
    bus.react({"reaction": "trial.gone", "event": {}})
    assert rows() == []


def test_a_sink_takes_all_events_that_it_wants_at_once(trial):
    taken = []
    sink = EventSink("trial.diary", lambda event: event.name() == "trial.happened", taken.append)
    trial(event_sinks=[sink])
    publish(Happened(what="a"), Followed(), Happened(what="b"))
    assert [[event.what for event in events] for events in taken] == [["a", "b"]]


def test_a_failing_sink_undoes_only_itself(trial):
    trial(event_sinks=[EventSink("trial.diary", lambda _: True, lambda _: (put("sink"), fall(None)))])
    publish()
    assert rows() == ["fact"]


def test_a_sink_hears_nothing_of_what_was_taken_back(trial):
    taken = []
    failing = now(lambda _: (bus.publish(Followed()), fall(None)))
    trial(failing, event_sinks=[EventSink("trial.diary", lambda _: True, taken.extend)])
    publish()
    assert [type(event) for event in taken] == [Happened]


def test_events_know_when_they_happened_and_who_they_are():
    first, second = Happened(what="a"), Happened(what="a")
    assert first.event_id < second.event_id
    assert first.occurred_at <= second.occurred_at
    with pytest.raises(AttributeError):
        first.what = "b"


def test_an_event_must_say_its_name():
    class Nameless(Event, frozen=True):
        pass

    with pytest.raises(TypeError, match="must say its name"):
        Nameless.name()
    assert SimpleNamespace(mark=Happened(what="a").mark()).mark is None
