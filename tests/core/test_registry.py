"""The registry: which plugins there are, in which order, and every fault of one is told at the start and harms no other."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import click
import msgspec
import pytest
from flask import Blueprint
from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pilothouse import core
from pilothouse.access import Permission, roles_from
from pilothouse.contract.answers import Credential
from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.notices import NotificationCategory
from pilothouse.contract.pages import AdminView, LoginMethod, NavItem, PaletteSource, Panel
from pilothouse.contract.recording import Enricher, Measure, Recorder
from pilothouse.contract.work import LONGEST_TASK_S, BeatEntry, HealthCheck, Task
from pilothouse.db import Id, Model, db
from pilothouse.errors import Forbidden, PluginError
from pilothouse.identity.models import User
from pilothouse.plugins import discovery
from pilothouse.plugins.discovery import Candidate, discover
from pilothouse.plugins.registry import build_registry
from pilothouse.runtime import runtime
from pilothouse.settings import Setting, text
from pilothouse.signals import Execution, Signal

CORE = Candidate("core", core, "pilothouse")
VIEW = Permission("trial.things.view", "See things", roles_from("viewer"))


class Happened(Event, frozen=True):
    """Something happened."""

    @classmethod
    def name(cls):
        return "trial.happened"


class Nameless(Event, frozen=True):
    """Something without a name."""


class Note(Signal, frozen=True, kw_only=True, tag="trial_note"):
    """A signal of a plugin."""


def built(*candidates):
    return build_registry([CORE, *candidates])


def reason(*candidates, name="trial"):
    """Build a registry in which one plugin fails; return why."""
    registry = built(*candidates)
    state = registry.get(name)
    assert state.state == "failed"
    assert state.contributions == {}
    assert registry.get("core").state == "loaded"
    return state.reason


def test_a_model_that_cannot_be_mapped_takes_out_its_plugin_and_leaves_everybody_else_s_queries(build_app, make_plugin):
    class Lost(Model):
        """Points at a class that there is not."""

        __tablename__ = "trial_lost"
        id: Mapped[str] = mapped_column(Id, primary_key=True)
        nobody = relationship("NoSuchClass")

    with build_app([*discover(), make_plugin("trial", models=[Lost]), make_plugin("user", requires=("trial",))]).app_context():
        registry = runtime().registry
        assert "pilothouse_models: Lost cannot be mapped: " in registry.get("trial").reason
        assert registry.get("user").reason == "requires trial, which is not there or failed"
        assert db.session.scalars(select(User)).all() == []


@pytest.mark.parametrize("fault", [KeyError("station"), TypeError("station"), SystemExit(3)])
def test_a_hook_may_be_a_generator_and_fail_half_way(make_plugin, fault):
    def tasks():
        yield Task("trial.t", print)
        raise fault

    assert reason(make_plugin("trial", tasks=tasks)) == f"pilothouse_tasks raised {type(fault).__name__}: {fault}"


def test_a_hook_that_wants_to_end_the_process_takes_its_plugin_out(make_plugin):
    assert reason(make_plugin("trial", tasks=lambda: sys.exit(3))) == "pilothouse_tasks raised SystemExit: 3"


@pytest.mark.parametrize("module", [5, "text", object(), print])
def test_an_entry_point_may_name_anything(module):
    assert reason(Candidate("trial", module, "trial", "1.0"))


@pytest.mark.parametrize(
    ("kind", "item", "wrong"),
    [("tasks", Task("trial.t", print, limit_s="60"), "trial.t: limit_s must be int, not '60'"),
     ("tasks", Task("trial.t", print, limit_s=True), "trial.t: limit_s must be int, not True"),
     ("navigation", NavItem("Trial", "e", VIEW.name, order="last"), "Trial: order must be int, not 'last'"),
     ("navigation", NavItem(None, "e", VIEW.name), "NavItem: title must be str, not None"),
     ("navigation", NavItem("Trial", "e", VIEW.name, badge=7), "Trial: badge must be Callable[[], int | None] | None, not 7"),
     ("measures", Measure("trial.m", "t", "1", "number"), "not 'number'"),
     ("measures", Measure("trial.m", "t", "1", "count", ["a"]), "dimensions must be tuple[str, ...], not ['a']"),
     ("measures", Measure("trial.m", "t", "1", "count", ("a",), cuts=(("b",),)), "cuts are made of its dimensions"),
     ("measures", Measure("trial.m", "t", "1", "count", scale=0), "scale must be at least 1"),
     ("permissions", Permission("trial.p", "t", "viewer"), "roles must be frozenset[Role], not 'viewer'"),
     ("permissions", Permission("trial.p", "t", frozenset({"king"})), "roles must be frozenset[Role]"),
     ("recorders", Recorder(Execution, None), "Recorder: record must be Callable[[Batch], Recorded | None], not None"),
     ("recorders", Recorder(Happened, print), "signal must be type[Signal]"),
     ("beat_schedule", BeatEntry("trial.b", "trial.t", "60"), "every_s must be float, not '60'"),
     ("beat_schedule", BeatEntry("trial.b", "trial.t", float("nan")), "every_s must be a number of seconds over 0"),
     ("beat_schedule", BeatEntry("trial.b", "trial.t", 0), "every_s must be a number of seconds over 0")],
)  # fmt: skip
def test_a_field_that_holds_something_else_than_it_says_is_named_at_the_start(make_plugin, kind, item, wrong):
    assert wrong in reason(make_plugin("trial", **{kind: [item]}))


# --- order ---


def test_the_core_comes_first_and_each_after_those_that_it_requires(make_plugin):
    registry = built(make_plugin("a", requires=("b",)), make_plugin("b", requires=("c",)), make_plugin("c"))
    assert [plugin.name for plugin in registry.loaded] == ["core", "c", "b", "a"]


def test_ours_come_before_others_who_would_take_a_name_from_them(make_plugin):
    ours = [replace(make_plugin(name, requires=needs), distribution="pilothouse") for name, needs in (("b", ()), ("c", ("b",)))]
    registry = built(make_plugin("a"), make_plugin("aa", requires=("c",)), *ours)
    assert [plugin.name for plugin in registry.loaded] == ["core", "b", "c", "a", "aa"]


def test_a_signal_type_has_one_owner(make_plugin):
    owner = Recorder(Execution, print, owner=True)
    late = make_plugin("late", recorders=[owner])
    assert reason(make_plugin("early", recorders=[owner]), late, name="late") == (
        "pilothouse_recorders: early is the owner of 'execution' already"
    )
    assert reason(make_plugin("trial", recorders=[owner, owner])).endswith("trial is the owner of 'execution' already")


def test_what_is_missing_takes_along_all_that_need_it(make_plugin):
    registry = built(make_plugin("a", requires=("b",)), make_plugin("b", requires=("gone",)), make_plugin("c"))
    assert [plugin.name for plugin in registry.loaded] == ["core", "c"]
    assert registry.get("b").reason == "requires gone, which is not there or failed"
    assert registry.get("a").reason == "requires b, which is not there or failed"


@pytest.mark.parametrize("circle", [("a", "a"), ("a", "b"), ("a", "b", "c")])
def test_a_circle_takes_its_members_out(make_plugin, circle):
    members = sorted(set(circle))
    plugins = [make_plugin(name, requires=(circle[(circle.index(name) + 1) % len(circle)],)) for name in members]
    registry = built(*plugins, make_plugin("other"))
    assert [plugin.name for plugin in registry.loaded] == ["core", "other"]
    assert all("requires itself in a circle" in registry.get(name).reason for name in members)


def test_a_member_of_a_circle_is_asked_nothing(make_plugin):
    asked = []
    registry = built(make_plugin("a", requires=("a",), price=lambda usage: asked.append(usage)))
    assert registry.first("price", usage=1) is None
    assert asked == []


def test_of_two_with_one_name_the_first_has_it(make_plugin):
    first, second = make_plugin("trial", permissions=[VIEW]), Candidate("trial", ModuleType("x"), "copycat", "2.0")
    registry = built(first, second)
    assert registry.get("trial").state == "loaded"
    other = next(plugin for plugin in registry.plugins if plugin.distribution == "copycat")
    assert (other.state, other.reason) == ("failed", "the name trial is taken by the distribution trial")


def test_nobody_takes_the_core_s_place(make_plugin):
    registry = built(make_plugin("core"))
    assert registry.get("core").module is core
    assert len(registry.plugins) == 2


# --- faults of a module ---


def module(name="trial", **functions):
    made = ModuleType(name)
    made.__dict__.update({f"pilothouse_{hook}": function for hook, function in functions.items()})
    return Candidate(name, made)


def no_tasks():
    return []


def manifest(**fields):
    values = {"name": "trial", "title": "Trial", "description": "Made by a test.", **fields}
    return hookimpl(lambda: Manifest(**values))


def test_a_plugin_that_cannot_be_imported_says_why():
    assert reason(Candidate("trial", None, failure="import failed: ImportError: no")) == "import failed: ImportError: no"


class Answers:
    """What a plugin keeps its hooks in instead of writing them as functions."""

    @hookimpl
    def pilothouse_permissions(self):
        return [VIEW]


@pytest.mark.parametrize("hook", [Answers().pilothouse_permissions, staticmethod(hookimpl(lambda: [VIEW]))])
def test_a_hook_need_not_be_written_as_a_function(hook):
    assert built(module(manifest=manifest(), permissions=hook)).get("trial").contributions["permissions"] == (VIEW,)


def test_a_forgotten_decorator_is_noticed():
    assert reason(module(manifest=manifest(), tasks=no_tasks)) == "pilothouse_tasks lacks the decorator @hookimpl"


def test_an_unknown_hook_is_noticed():
    assert reason(module(manifest=manifest(),
    wishes=hookimpl(lambda: ()))).startswith("pilothouse_wishes is no hook of Pilothouse")


def test_a_hook_with_other_arguments_is_noticed():
    assert "secret" in reason(module(manifest=manifest(), price=hookimpl(lambda secret: None)))


@pytest.mark.parametrize("answer", [None, "trial", {}, Manifest])
def test_a_manifest_must_be_one(answer):
    assert "does not return a Manifest" in reason(module(manifest=hookimpl(lambda: answer)))
    assert "does not return a Manifest" in reason(module())


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"name": "other"}, "its manifest says other"), ({"sdk": ">=9"}, "needs SDK >=9"), ({"sdk": "whatever"},
     "is no version range"),
     ({"sdk": None}, "must be text"), ({"title": 5}, "must be text"), ({"requires": None}, "must be a tuple of names"),
     ({"requires": "executions"}, "must be a tuple of names"), ({"requires": (5,)}, "must be a tuple of names")],
)  # fmt: skip
def test_a_manifest_is_checked(fields, words):
    assert words in reason(module(manifest=manifest(**fields)))


@pytest.mark.parametrize("name", ["Trial", "9lives", "a-b", "a.b", "x" * 41, 'x"; DROP TABLE users; --', "", "ü"])
def test_a_name_is_fit_for_tables_and_addresses(make_plugin, name):
    assert "must be 1 to 40 small letters" in reason(make_plugin(name), name=name)


def test_a_hook_that_raises_is_named(make_plugin):
    def fall():
        raise KeyError("station")

    assert reason(make_plugin("trial", tasks=fall)) == "pilothouse_tasks raised KeyError: 'station'"


def test_a_hook_must_return_a_list(make_plugin):
    assert reason(make_plugin("trial", tasks=5)) == "pilothouse_tasks must return a list, not int"
    assert built(make_plugin("trial", tasks=None)).get("trial").state == "loaded"


# --- faults of what is returned ---

BAD_TYPES = {
    "settings": 1, "models": "x", "migrations": "folder", "signals": Event, "recorders": 1, "measures": 1,
    "permissions": "a", "admin_views": 1,
    "navigation": 1, "panels": 1, "palette": 1, "api_blueprints": 1, "tasks": print, "beat_schedule": 1, "events": Signal,
    "reactions": 1,
    "notification_categories": 1, "login_methods": 1, "cli": print, "health_checks": 1, "enrichers": 1, "event_sinks": 1,
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TYPES)
def test_things_of_another_type_are_refused(make_plugin, kind):
    value = BAD_TYPES[kind]
    told = reason(make_plugin("trial", **{kind: (lambda: value) if kind == "migrations" else [value]}))
    assert told.startswith(f"pilothouse_{kind}: ")
    assert " is no " in told


def named(kind, name):
    """Return a contribution of a kind with a name."""
    nothing: Any = lambda *_: None  # noqa: E731 - a stand-in
    makers = {
        "settings": lambda: Setting(name, text, "", "What it is for"), "permissions": lambda: Permission(name, "t",
        roles_from("viewer")),
        "tasks": lambda: Task(name, nothing), "reactions": lambda: Reaction(name, Happened, nothing),
        "panels": lambda: Panel(name, "home", "core.console.view", nothing), "health_checks": lambda: HealthCheck(name,
        nothing, ""),
        "event_sinks": lambda: EventSink(name, nothing, nothing), "measures": lambda: Measure(name, "t", "1", "count"),
        "admin_views": lambda: AdminView(name, nothing, "core.console.view"), "api_blueprints": lambda: Blueprint(name, "x"),
        "palette": lambda: PaletteSource(name, "t", "core.console.view", nothing), "cli": lambda: click.Command(name),
        "login_methods": lambda: LoginMethod(name, "t", "e"),
    }  # fmt: skip
    return makers[kind]()


@pytest.mark.parametrize("kind", ["permissions", "tasks", "reactions", "panels", "health_checks", "event_sinks"])
def test_names_carry_the_plugin_s(make_plugin, kind):
    more = {"events": [Happened]} if kind == "reactions" else {}
    assert built(make_plugin("trial", **{kind: [named(kind, "trial.a")]}, **more)).get("trial").state == "loaded"
    for name in ("a", "other.a", "trial_a", "trialx.a"):
        assert f"the name {name!r} must start with 'trial.'" in reason(make_plugin("trial", **{kind: [named(kind, name)]},
        **more))


@pytest.mark.parametrize("kind", ["admin_views", "api_blueprints"])
def test_names_without_dots_carry_it_too(make_plugin, kind):
    for name in ("trial", "trial_api", "trial_more"):
        assert built(make_plugin("trial", **{kind: [named(kind, name)]})).get("trial").state == "loaded"
    for name in ("other", "trialx"):
        assert "must start with" in reason(make_plugin("trial", **{kind: [named(kind, name)]}))


@pytest.mark.parametrize("kind", ["measures", "palette", "cli", "login_methods", "settings"])
def test_a_name_is_given_once(make_plugin, kind):
    name = "PILOTHOUSE_X" if kind == "settings" else "x"
    registry = built(make_plugin("a", **{kind: [named(kind, name)]}), make_plugin("b", **{kind: [named(kind, name)]}))
    assert registry.get("a").state == "loaded"
    assert registry.get("b").reason == f"pilothouse_{kind}: the name {name!r} is taken by a"
    assert "is taken by trial" in reason(make_plugin("trial", **{kind: [named(kind, name), named(kind, name)]}))


def test_names_of_a_plugin_that_failed_are_free_again(make_plugin):
    failing = make_plugin("a", measures=[named("measures", "x")], tasks=[5])
    assert built(failing, make_plugin("b", measures=[named("measures", "x")])).get("b").state == "loaded"


def test_the_core_s_own_names_are_taken(make_plugin):
    class Copy(Signal, frozen=True, tag="execution"):
        pass

    assert "'PILOTHOUSE_SECRET_KEY' is taken by core" in reason(
        make_plugin("trial", settings=[Setting("PILOTHOUSE_SECRET_KEY", text, "", "x")])
    )
    assert "'execution' is taken by core" in reason(make_plugin("trial", signals=[Copy]))
    assert "must start with" in reason(make_plugin("trial", settings=[Setting("PATH", text, "", "x")]))


def test_events_say_their_names(make_plugin):
    assert "has no name: Nameless must say its name" in reason(make_plugin("trial", events=[Nameless]))


def test_a_signal_can_be_decoded(make_plugin):
    class Odd(Signal, frozen=True, kw_only=True, tag="trial_odd"):
        value: int | msgspec.Raw | Note | Execution | str | dict[str, int] | dict[int, str] = 1

    assert "Odd cannot be decoded" in reason(make_plugin("trial", signals=[Odd]))


@pytest.mark.parametrize("limit", [0, -1, LONGEST_TASK_S + 1])
def test_a_task_ends_before_the_broker_hands_it_out_again(make_plugin, limit):
    assert "limit_s must be" in reason(make_plugin("trial", tasks=[Task("trial.a", print, limit_s=limit)]))


@pytest.mark.parametrize(
    ("kind", "item"),
    [("navigation", NavItem("t", "trial.index", "trial.none.view")), ("panels", Panel("trial.p", "home",
     "trial.none.view", print)),
     ("admin_views", AdminView("trial", print, "trial.none.view")), ("palette", PaletteSource("trial", "t",
     "trial.none.view", print)),
     ("beat_schedule", BeatEntry("trial.b", "core.react", 5)), ("recorders", Recorder(Note, print)),
     ("enrichers", Enricher(Note, print)), ("reactions", Reaction("trial.r", Happened, print)),
     ("notification_categories", NotificationCategory("trial.c", "t", "workflow", Happened, print))],
)  # fmt: skip
def test_what_a_plugin_points_at_must_be_there(make_plugin, kind, item):
    assert "is neither its own nor the core's nor of a plugin that it requires" in reason(make_plugin("trial",
    **{kind: [item]}))


def test_what_a_required_plugin_has_may_be_pointed_at(make_plugin):
    owner = make_plugin("trial", permissions=[VIEW], events=[Happened], signals=[Note])
    user = {"navigation": [NavItem("t", "e", VIEW.name)], "recorders": [Recorder(Note, print)],
            "reactions": [Reaction("user.r", Happened, print)]}  # fmt: skip
    assert built(owner, make_plugin("user", requires=("trial",), **user)).get("user").state == "loaded"
    assert built(owner, make_plugin("user", **user)).get("user").state == "failed"


def test_a_fault_of_the_core_stops_the_start(make_plugin):
    broken = make_plugin("core", tasks=[5])
    with pytest.raises(PluginError, match="pilothouse_tasks"):
        build_registry([broken])


# --- asking the registry ---


def test_contributions_are_found_by_kind(make_plugin):
    registry = built(make_plugin("trial", permissions=[VIEW], tasks=[Task("trial.a", print)], events=[Happened]))
    assert ("trial", VIEW) in registry.all("permissions")
    assert registry.permission(VIEW.name) is registry.permissions[VIEW.name] is VIEW
    assert registry.task("trial.a")[0] == "trial"
    assert registry.task("trial.none") is None
    assert registry.get("none") is None
    with pytest.raises(PluginError, match="nobody declares the permission nope"):
        registry.permission("nope")


def test_reactions_and_sinks_are_found_by_event(make_plugin):
    def choosy(event):
        return event is Happened

    sinks = [EventSink("trial.a", choosy, print), EventSink("trial.b", lambda _: 1 / 0, print)]
    registry = built(make_plugin("trial", events=[Happened], reactions=[Reaction("trial.r", Happened, print)],
    event_sinks=sinks))
    assert [reaction.name for _, reaction in registry.reactions_to(Happened)] == ["trial.r"]
    assert registry.reactions_to(Nameless) == []
    assert [sink.name for _, sink in registry.sinks_of(Happened)] == ["trial.a"]
    assert registry.guard.of("trial")["trial.b"].count == 1


@pytest.fixture
def asked(build_app):
    """Return what builds an application and asks a runtime hook."""
    from pilothouse.runtime import runtime

    def ask(*plugins, **arguments):
        with build_app(plugins=list(plugins)).app_context():
            return runtime().registry.first("credential", **arguments)

    return ask


WANTED = {"service": "openai", "label": None, "principal": None}


def test_the_first_answer_counts_and_a_failing_plugin_is_passed_over(asked, make_plugin):
    found = Credential("k1", "s")
    silent = make_plugin("a", credential=lambda service: None)
    failing = make_plugin("b", credential=lambda label: 1 / 0)
    answering = make_plugin("c", credential=lambda service, principal: found)
    assert asked(silent, failing, answering, **WANTED) is found
    assert asked(silent, failing, **WANTED) is None
    assert asked(**WANTED) is None


def test_plugins_are_asked_in_their_order_unless_one_wants_to_be_first_or_last(asked, make_plugin):
    turns = []

    def noting(name, requires=(), **options):
        made = make_plugin(name, requires=requires)
        made.module.pilothouse_credential = hookimpl(**options)(lambda: turns.append(name))
        return made

    asked(noting("a", ("b",)), noting("b"), noting("c", trylast=True), noting("d"), noting("e", tryfirst=True), **WANTED)
    assert turns == ["e", "b", "a", "d", "c"]


def test_what_is_refused_on_purpose_is_an_answer(asked, make_plugin):
    def refuse():
        raise Forbidden("The budget is used up.")

    for _ in range(7):  # it never rests for that
        with pytest.raises(Forbidden, match="used up"):
            asked(make_plugin("a", credential=refuse), **WANTED)


def test_a_plugin_that_is_off_is_not_asked(build_app, make_plugin):
    from pilothouse.db import unit_of_work
    from pilothouse.plugins.switches import switch
    from pilothouse.runtime import runtime

    with build_app(plugins=[make_plugin("a", credential=lambda: Credential("k1", "s"))]).app_context():
        with unit_of_work():
            switch("a", enabled=False, by="me")
        assert runtime().registry.first("credential", **WANTED) is None


# --- finding ---


def test_the_installed_plugins_are_found_by_their_entry_points():
    found = {candidate.name: candidate for candidate in discover(disabled=("tokens",))}
    assert {"executions", "errors", "telemetry"} <= set(found)
    assert "tokens" not in found
    assert (found["executions"].distribution, found["executions"].failure) == ("pilothouse", None)


def test_an_import_that_fails_is_the_plugin_s_own_failure():
    found = discovery._load(EntryPoint("trial", "no_such_module_at_all", discovery.GROUP))
    assert found.module is None
    assert found.failure == "import failed: ModuleNotFoundError: No module named 'no_such_module_at_all'"


def test_an_import_that_wants_to_end_the_process_is_contained(tmp_path, monkeypatch):
    (tmp_path / "leaves_at_once.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    found = discovery._load(EntryPoint("trial", "leaves_at_once", discovery.GROUP))
    assert found.failure == "import failed: SystemExit: 3"
