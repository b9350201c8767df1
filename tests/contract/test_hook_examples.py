"""The examples of the hooks' docstrings are lines of one plugin, weather: here they make it, and it is loaded and answers."""

from __future__ import annotations

import inspect
import re
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest
from flask import Blueprint

from pilothouse import sdk
from pilothouse.contract import hookspecs
from pilothouse.plugins.checks import ANSWERS, answer_of
from pilothouse.plugins.discovery import Candidate, discover
from pilothouse.plugins.models import PluginSwitch
from pilothouse.runtime import runtime
from pilothouse_executions import events as executions_events

HOOKS = [name.removeprefix("pilothouse_") for name in dir(hookspecs) if name.startswith("pilothouse_")]
_EXAMPLE = re.compile(r"Example: `(.+)`")


class StormSeen(sdk.Event, frozen=True, kw_only=True):
    """A storm was seen."""

    @classmethod
    def name(cls):
        return "weather.storm_seen"


class WeatherReport(sdk.Signal, frozen=True, kw_only=True, tag="weather_report"):
    """The weather at a station."""

    station: str


class WeatherView(sdk.ConsoleView):
    title, path = "Weather", "/weather"

    @sdk.expose("/")
    def index(self) -> Any:
        return "sunny"


def nothing(*_: Any) -> None:
    """Do nothing."""


def parts() -> dict[str, Any]:
    """Return the modules and names of weather that the examples use."""
    api = SimpleNamespace(
        blueprint=lambda: Blueprint("weather_api", __name__), records=lambda ids: {key: {"id": key} for key in ids}
    )
    budgets = SimpleNamespace(reserve=lambda _: SimpleNamespace(id="r", settle=nothing, release=nothing))
    vault = SimpleNamespace(open_newest=lambda *_: sdk.Credential("k", "secret"))
    own = dict.fromkeys(("recorder.record", "panels.weather_of", "queries.find_stations", "tasks.fetch", "reactions.note_failure",
                         "notices.storm", "stations.note", "diary.write", "prices.fill_in"), nothing)  # fmt: skip
    modules: dict[str, SimpleNamespace] = {}
    for name, function in own.items():
        module, _, attribute = name.partition(".")
        modules[module] = SimpleNamespace(**{attribute: function})
    return {
        **{name: getattr(sdk, name) for name in sdk.__all__}, **modules, "Path": __import__("pathlib").Path, "__file__": __file__,
        "Observation": PluginSwitch, "WeatherReport": WeatherReport, "StormSeen": StormSeen, "WeatherView": WeatherView,
        "api": api, "budgets": budgets, "vault": vault, "check_station": nothing, "weather_command": click.Command("weather"),
        "executions": SimpleNamespace(events=executions_events), "invites": SimpleNamespace(accept_for=lambda _: True),
        "principal_of": lambda _: sdk.Principal("ada", "viewer"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def module() -> ModuleType:
    """Return the plugin's module: each hook with its example as its only line."""
    made = ModuleType("weather")
    made.__dict__.update(parts())
    for hook in HOOKS:
        spec = getattr(hookspecs, f"pilothouse_{hook}")
        line = _EXAMPLE.search(inspect.getdoc(spec) or "")
        assert line is not None, hook
        exec(f"def {spec.__name__}({', '.join(inspect.signature(spec).parameters)}):\n    {line[1]}", made.__dict__)
        setattr(made, spec.__name__, hookspecs.hookimpl(made.__dict__[spec.__name__]))
    return made


def test_the_examples_make_a_plugin_that_loads(build_app, module):
    with build_app([*discover(), Candidate("weather", module, "weather", "1.0")]).app_context():
        state = runtime().registry.get("weather")
        assert (state.state, state.reason) == ("loaded", "")
        assert {*state.contributions, *ANSWERS, "manifest"} == {*HOOKS}


@pytest.mark.parametrize(
    ("hook", "asked"),
    [("authenticate", {"request": SimpleNamespace(headers={})}), ("join", {"user_id": "ada"}),
     ("credential", {"service": "openai", "label": None, "principal": None, "passed_over": frozenset()}),
     ("price", {"usage": SimpleNamespace(model="station-model")}), ("reserve", {"spend": sdk.Spend(5)}),
     ("commands", {"token_id": "t"}), ("records", {"kind": "weather", "ids": ["w"]})],
)  # fmt: skip
def test_the_examples_of_runtime_hooks_answer_as_they_should(module, hook, asked):
    assert answer_of(hook, getattr(module, f"pilothouse_{hook}"), **asked) is not None
