"""What a plugin's contributions must keep to: types, unique names, names that carry the plugin's; and what it may answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from flask import Blueprint

from pilothouse.access import Permission, Principal
from pilothouse.contract.answers import Command, Credential, Price, Reservation
from pilothouse.contract.arrivals import ArrivalSink
from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.contract.fitting import misfits
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.notices import NotificationCategory
from pilothouse.contract.pages import AdminView, LoginMethod, NavItem, PaletteSource, Panel, Snippet
from pilothouse.contract.recording import Enricher, Measure, Recorder
from pilothouse.contract.work import LONGEST_TASK_S, BeatEntry, HealthCheck, Task
from pilothouse.db import Model
from pilothouse.errors import PluginError
from pilothouse.settings import CORE_SETTINGS, Setting
from pilothouse.signals import CORE_SIGNALS, Signal, decode_hook, tag_of

CORE = "core"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")  # it becomes a part of table names, endpoints and addresses

INSTANCES: Mapping[str, type] = {
    "settings": Setting,
    "migrations": Path,
    "recorders": Recorder,
    "measures": Measure,
    "permissions": Permission,
    "admin_views": AdminView,
    "navigation": NavItem,
    "panels": Panel,
    "palette": PaletteSource,
    "api_blueprints": Blueprint,
    "tasks": Task,
    "beat_schedule": BeatEntry,
    "reactions": Reaction,
    "notification_categories": NotificationCategory,
    "event_sinks": EventSink,
    "arrival_sinks": ArrivalSink,
    "snippets": Snippet,
    "login_methods": LoginMethod,
    "cli": click.Command,
    "health_checks": HealthCheck,
    "enrichers": Enricher,
}
ANSWERS: Mapping[str, type] = {
    "authenticate": Principal,
    "credential": Credential,
    "price": Price,
    "reserve": Reservation,
    "join": bool,
    "commands": Iterable,
    "records": Mapping,
}
CLASSES: Mapping[str, type] = {"signals": Signal, "events": Event, "models": Model}
PREFIXED = frozenset({"permissions", "tasks", "events", "reactions", "panels", "beat_schedule", "health_checks",
                      "event_sinks", "arrival_sinks", "snippets"})  # fmt: skip
JOINED = frozenset({"api_blueprints", "admin_views"})  # Flask takes no dots in these
SHARED_SUBJECTS = frozenset({"recorders", "enrichers", "migrations", "models", "navigation"})


class Checks:
    """Checks what one plugin after the other returned, each against those that came before it."""

    def __init__(self) -> None:
        """Start with the names that the core has without a hook."""
        self._taken: dict[str, dict[str, str]] = {
            "settings": {setting.name: CORE for setting in CORE_SETTINGS},
            "signals": {tag_of(kind): CORE for kind in CORE_SIGNALS},
        }
        self._known: dict[str, Mapping[str, tuple[Any, ...]]] = {}

    def check(self, plugin: str, found: Mapping[str, tuple[Any, ...]], requires: Sequence[str]) -> None:
        """Check a plugin's contributions and take their names.

        Raises PluginError that names the hook, the thing and, for a conflict, the other plugin; nothing is taken then.
        """
        taken: dict[str, dict[str, str]] = {}
        for kind, items in found.items():
            for item in items:
                _check_type(plugin, kind, item)
                if kind not in SHARED_SUBJECTS:
                    self._check_name(plugin, kind, item, taken.setdefault(kind, {}))
        _check_details(plugin, found)
        self._check_owners(plugin, found.get("recorders", ()), taken.setdefault("owners", {}))
        if CORE in {plugin, *self._known}:  # a registry without it, of a part that is tried alone, cannot know
            known = [self._known[name] for name in (CORE, *requires) if name in self._known]
            _check_references(plugin, found, [found, *known])
        for kind, names in taken.items():
            self._taken.setdefault(kind, {}).update(names)
        self._known[plugin] = found

    def _check_owners(self, plugin: str, recorders: Sequence[Recorder], taken: dict[str, str]) -> None:
        """Let each signal type have one owner: a second one would be told nothing of what the first calls a duplicate."""
        for tag in (tag_of(recorder.signal) for recorder in recorders if recorder.owner):
            other = {**self._taken.get("owners", {}), **taken}.get(tag)
            if other is not None:
                raise PluginError(plugin, f"pilothouse_recorders: {other} is the owner of {tag!r} already")
            taken[tag] = plugin

    def _check_name(self, plugin: str, kind: str, item: Any, taken: dict[str, str]) -> None:
        name = name_of(plugin, kind, item)
        if plugin != CORE and not _carries(plugin, kind, name):
            raise PluginError(plugin, f"pilothouse_{kind}: the name {name!r} must start with {plugin + '.'!r}")
        others: Mapping[str, str] = {**self._taken.get(kind, {}), **taken}
        other = others.get(name)
        if other is not None:
            raise PluginError(plugin, f"pilothouse_{kind}: the name {name!r} is taken by {other}")
        taken[name] = plugin


def answer_of(hook: str, function: Callable[..., Any], /, **asked: Any) -> Any:
    """Ask one implementation of a runtime hook. Raises TypeError where it answers neither None nor what the hook promises."""
    answer = function(**asked)
    if answer is None:
        return None
    right = isinstance(answer, ANSWERS[hook])
    if hook == "commands" and right:
        answer = list(answer)
        right = all(isinstance(one, Command) for one in answer)
    if not right:
        raise TypeError(f"pilothouse_{hook} must not answer {answer!r:.80}")
    wrong = [fault for one in (answer if hook == "commands" else [answer]) for fault in misfits(one)]
    if wrong:
        raise TypeError(f"pilothouse_{hook}: {'; '.join(wrong)}")
    return answer


def check_manifest(name: str, manifest: Manifest) -> None:
    """Check a manifest against the name of the entry point. Raises PluginError."""
    texts = (manifest.title, manifest.description, manifest.sdk)
    if not _NAME.fullmatch(name):
        raise PluginError(name, "its name must be 1 to 40 small letters, digits and underscores, a letter first")
    if manifest.name != name:
        raise PluginError(name, f"its manifest says {manifest.name}, its entry point {name}")
    if not all(isinstance(text, str) for text in texts):
        raise PluginError(name, "title, description and sdk of its manifest must be text")
    requires: Any = manifest.requires
    if not isinstance(requires, (tuple, list)) or not all(isinstance(one, str) for one in requires):
        raise PluginError(name, "requires of its manifest must be a tuple of names")


def name_of(plugin: str, kind: str, item: Any) -> str:
    """Return the name by which a contribution must be unique. Raises PluginError where it has none."""
    try:
        name = tag_of(item) if kind == "signals" else item.name() if kind == "events" else item.name
    except Exception as fault:  # `item` is whatever a plugin returned; asking its name runs its code
        raise PluginError(plugin, f"pilothouse_{kind}: {item!r:.80} has no name: {fault}") from fault
    if not isinstance(name, str) or not name:
        raise PluginError(plugin, f"pilothouse_{kind}: the name of {item!r:.80} must be text")
    return name


def _carries(plugin: str, kind: str, name: str) -> bool:
    """Say whether a name carries that of its plugin, where it must."""
    if kind in PREFIXED:
        return name.startswith(f"{plugin}.")
    if kind in JOINED:
        return name == plugin or name.startswith((f"{plugin}_", f"{plugin}."))
    return kind != "settings" or name.startswith("PILOTHOUSE_")


def _check_type(plugin: str, kind: str, item: Any) -> None:
    if kind in INSTANCES:
        expected, right = INSTANCES[kind], isinstance(item, INSTANCES[kind])
    else:
        expected, right = CLASSES[kind], isinstance(item, type) and issubclass(item, CLASSES[kind])
    if not right:
        name = "Model" if expected is Model else expected.__name__  # SQLAlchemy makes the base under a name of its own
        raise PluginError(plugin, f"pilothouse_{kind}: {item!r:.80} is no {name}")
    wrong = misfits(item)
    if wrong:
        called = getattr(item, "name", None) or getattr(item, "title", None) or type(item).__name__
        raise PluginError(plugin, f"pilothouse_{kind}: {called!s:.80}: {'; '.join(wrong)}")


def _check_details(plugin: str, found: Mapping[str, tuple[Any, ...]]) -> None:
    """Check what would stop the application later on, where nobody could tell any more whose fault it is."""
    for task in found.get("tasks", ()):
        if not 0 < task.limit_s <= LONGEST_TASK_S:
            raise PluginError(plugin, f"pilothouse_tasks: {task.name}: limit_s must be 1 to {LONGEST_TASK_S} seconds")
    for entry in found.get("beat_schedule", ()):
        if not 0 < entry.every_s < math.inf:
            raise PluginError(plugin, f"pilothouse_beat_schedule: {entry.name}: every_s must be a number of seconds over 0")
    for measure in found.get("measures", ()):
        if measure.scale < 1 or not {name for cut in measure.cuts for name in cut} <= {*measure.dimensions}:
            words = "scale must be at least 1, and cuts are made of its dimensions"
            raise PluginError(plugin, f"pilothouse_measures: {measure.name}: {words}")
    for kind in found.get("signals", ()):
        try:
            msgspec.json.Decoder(kind, dec_hook=decode_hook)
        except TypeError as fault:
            raise PluginError(plugin, f"pilothouse_signals: {kind.__name__} cannot be decoded: {fault}") from None


def _check_references(plugin: str, found: Mapping[str, Any], known: Sequence[Mapping[str, tuple[Any, ...]]]) -> None:
    """Check that what a plugin points at is its own, the core's, or a plugin's that it requires."""

    def all_of(kind: str) -> list[Any]:
        return [item for contributions in known for item in contributions.get(kind, ())]

    permissions = {permission.name for permission in all_of("permissions")}
    signals = {*CORE_SIGNALS, *all_of("signals")}
    tasks = {task.name for task in found.get("tasks", ())}
    events = set(all_of("events"))
    for kind in ("admin_views", "navigation", "panels", "palette", "notification_categories"):
        _check_pointers(plugin, kind, found, "permission", permissions)
    for kind in ("reactions", "notification_categories"):
        _check_pointers(plugin, kind, found, "event", events)
    for kind in ("recorders", "enrichers"):
        _check_pointers(plugin, kind, found, "signal", signals)
    _check_pointers(plugin, "beat_schedule", found, "task", tasks)


def _check_pointers(plugin: str, kind: str, found: Mapping[str, Any], attribute: str, known: Collection[Any]) -> None:
    for item in found.get(kind, ()):
        target = getattr(item, attribute)
        if target not in known:
            name = getattr(target, "__name__", target)
            words = f"the {attribute} {name} is neither its own nor the core's nor of a plugin that it requires"
            raise PluginError(plugin, f"pilothouse_{kind}: {words}")
