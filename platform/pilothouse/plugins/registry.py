"""The registry: which plugins there are, in which order, what each contributes; frozen once it is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from types import FunctionType, MethodType
from typing import Any, Literal

import pluggy
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from pilothouse.access import Permission
from pilothouse.contract import hookspecs
from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.work import Task
from pilothouse.db import take_out_broken_models
from pilothouse.errors import PluginError
from pilothouse.plugins.checks import ANSWERS, Checks, answer_of, check_manifest
from pilothouse.plugins.discovery import OURS, Candidate
from pilothouse.plugins.guard import Guard, PluginFailed
from pilothouse.plugins.switches import is_enabled

SDK_VERSION = "1.0"
CORE = "core"  # its own contributions come the same way, but nothing works without them
PREFIX = "pilothouse_"
FUNCTIONS = (FunctionType, MethodType, classmethod, staticmethod)  # what pluggy takes for a hook's implementation


@dataclass(slots=True)
class PluginState:
    """One plugin as it stands: `loaded` works, `failed` was taken out at start for `reason`."""

    name: str
    state: Literal["loaded", "failed"]
    reason: str = ""
    manifest: Manifest | None = None
    distribution: str = ""
    version: str = ""
    module: object | None = None
    contributions: dict[str, tuple[Any, ...]] = field(default_factory=dict)


class Registry:
    """All plugins and what they contribute: each after those that it requires, ours before others', else by name."""

    def __init__(self, plugins: Sequence[PluginState], manager: pluggy.PluginManager) -> None:
        """Take the plugins in their final order."""
        self.plugins = tuple(plugins)
        self.guard = Guard()
        self._by_name = {plugin.name: plugin for plugin in plugins}
        self._permissions: dict[str, Permission] = {p.name: p for _, p in self.all("permissions")}
        self._reactions: dict[type[Event], list[tuple[str, Reaction]]] = {}
        self._sinks: dict[type[Event], list[tuple[str, EventSink]]] = {}
        places = {plugin.name: place for place, plugin in enumerate(plugins)}
        self._asked = {hook: _in_turn(manager, hook, places) for hook in ANSWERS}
        for name, reaction in self.all("reactions"):
            self._reactions.setdefault(reaction.event, []).append((name, reaction))

    @property
    def loaded(self) -> list[PluginState]:
        """The plugins that work, each after those that it requires."""
        return [plugin for plugin in self.plugins if plugin.state == "loaded"]

    def get(self, name: str) -> PluginState | None:
        """Return a plugin by name."""
        return self._by_name.get(name)

    def all(self, kind: str) -> list[tuple[str, Any]]:
        """Return every contribution of a kind ("navigation", "tasks", ...) with the name of its plugin."""
        return [(plugin.name, item) for plugin in self.loaded for item in plugin.contributions.get(kind, ())]

    def permission(self, name: str) -> Permission:
        """Return a permission by name. Raises PluginError where no plugin declares it."""
        if name not in self._permissions:
            raise PluginError("core", f"nobody declares the permission {name}")
        return self._permissions[name]

    @property
    def permissions(self) -> Mapping[str, Permission]:
        """All permissions by name."""
        return self._permissions

    def reactions_to(self, event: type[Event]) -> list[tuple[str, Reaction]]:
        """Return the reactions to an event with the names of their plugins."""
        return self._reactions.get(event, [])

    def sinks_of(self, event: type[Event]) -> list[tuple[str, EventSink]]:
        """Return what takes in events of a type, with the names of their plugins."""
        if event not in self._sinks:
            self._sinks[event] = [pair for pair in self.all("event_sinks") if self._wants(*pair, event)]
        return self._sinks[event]

    def _wants(self, plugin: str, sink: EventSink, event: type[Event]) -> bool:
        try:
            return bool(self.guard.call(plugin, sink.name, sink.wants, event))
        except PluginFailed:
            return False

    def task(self, name: str) -> tuple[str, Task] | None:
        """Return a task by name with the name of its plugin."""
        return next(((plugin, task) for plugin, task in self.all("tasks") if task.name == name), None)

    def first(self, hook: str, **kwargs: Any) -> Any:
        """Ask a runtime hook; the first answer that is not None counts.

        Plugins are asked in their order, those with `tryfirst` before, those with `trylast` after all others. One that fails,
        or answers what the hook does not promise, is passed over; one that is off is not asked. Raises what an
        implementation raises on purpose (a PilothouseError).
        """
        for implementation in self._asked[hook]:
            plugin = implementation.plugin_name
            if not is_enabled(plugin):
                continue
            try:
                wanted = {name: kwargs[name] for name in implementation.argnames}
                answer = self.guard.ask(plugin, hook, partial(answer_of, hook, implementation.function), **wanted)
            except PluginFailed:
                continue
            if answer is not None:
                return answer
        return None


def _in_turn(manager: pluggy.PluginManager, hook: str, places: Mapping[str, int]) -> list[pluggy.HookImpl]:
    """Return the implementations of a hook: those that want to be first, then by their plugins' places, then the last."""

    def turn(implementation: pluggy.HookImpl) -> tuple[int, int]:
        rank = -1 if implementation.tryfirst else 1 if implementation.trylast else 0
        return rank, places[implementation.plugin_name]

    return sorted(getattr(manager.hook, PREFIX + hook).get_hookimpls(), key=turn)


class _Manager(pluggy.PluginManager):
    """Passes over what is no function in a module: to let pluggy look into all that it imports was a tenth of a start."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return what `@hookimpl` left at the plugin's attribute `name`, None where it left nothing."""
        if inspect.ismodule(plugin) and not isinstance(vars(plugin).get(name), FUNCTIONS):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def build_registry(candidates: Iterable[Candidate]) -> Registry:
    """Check every candidate, order them by `requires` and collect what they contribute.

    Never raises for a plugin's fault: the plugin and those that require it are marked failed, with the reason.
    """
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    states = [_introduce(candidate, manager) for candidate in _told_apart(candidates)]
    ordered = _in_order(states, manager)
    broken = take_out_broken_models()
    checks = Checks()
    for state in ordered:
        if state.state == "failed":
            continue
        requires = state.manifest.requires if state.manifest else ()
        missing = [name for name in requires if not _works(name, ordered)]
        if missing:
            _fail(state, f"requires {', '.join(missing)}, which is not there or failed", manager)
            continue
        try:
            contributions = _collect(state, manager)
            _refuse_broken(state.name, contributions.get("models", ()), broken)
            checks.check(state.name, contributions, requires)
            state.contributions = contributions
        except PluginError as fault:
            if state.name == CORE:
                raise
            _fail(state, fault.reason, manager)
    return Registry(ordered, manager)


def _told_apart(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Let whoever comes first have a name; another one of that name fails, under a name that tells its distribution."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        first = found.get(candidate.name)
        if first is None:
            found[candidate.name] = candidate
            continue
        name = f"{candidate.name} ({candidate.distribution or 'unknown'} {len(found)})"
        reason = f"the name {candidate.name} is taken by the distribution {first.distribution or 'unknown'}"
        found[name] = replace(candidate, name=name, module=None, failure=reason)
    return list(found.values())


def _works(name: str, states: Sequence[PluginState]) -> bool:
    return any(state.name == name and state.state == "loaded" for state in states)


def _fail(state: PluginState, reason: str, manager: pluggy.PluginManager) -> None:
    state.state, state.reason, state.contributions = "failed", reason, {}
    if state.module is not None and manager.is_registered(state.module):
        manager.unregister(state.module)


def _introduce(candidate: Candidate, manager: pluggy.PluginManager) -> PluginState:
    state = PluginState(
        candidate.name, "loaded", distribution=candidate.distribution, version=candidate.version, module=candidate.module
    )
    if candidate.failure is not None:
        state.state, state.reason = "failed", candidate.failure
        return state
    try:
        manager.register(candidate.module, name=candidate.name)
        _refuse_undecorated(candidate.name, candidate.module)
        _refuse_unknown(candidate.name, candidate.module, manager)
        state.manifest = _manifest(candidate, manager)
    except PluginError as fault:
        _fail(state, fault.reason, manager)
    except Exception as fault:  # noqa: BLE001 - an entry point may name anything; pluggy says in its last line what is wrong
        _fail(state, f"{type(fault).__name__}: {fault}".strip().splitlines()[-1], manager)
    return state


def _refuse_undecorated(name: str, module: object) -> None:
    """Say that `@hookimpl` was forgotten: pluggy passes over such a function without a word."""
    for attribute, value in vars(module).items():
        if attribute.startswith(PREFIX) and inspect.isfunction(value) and not hasattr(value, f"{hookspecs.PROJECT}_impl"):
            raise PluginError(name, f"{attribute} lacks the decorator @hookimpl")


def _refuse_unknown(name: str, module: object, manager: pluggy.PluginManager) -> None:
    for caller in manager.get_hookcallers(module) or []:
        if not caller.has_spec():
            raise PluginError(name, f"{caller.name} is no hook of Pilothouse (see pilothouse.contract.hookspecs)")


def _manifest(candidate: Candidate, manager: pluggy.PluginManager) -> Manifest:
    manifest = _call(candidate.name, candidate.module, "manifest", manager)
    if not isinstance(manifest, Manifest):
        raise PluginError(candidate.name, "pilothouse_manifest is missing or does not return a Manifest")
    check_manifest(candidate.name, manifest)
    try:
        if SDK_VERSION not in SpecifierSet(manifest.sdk):
            raise PluginError(candidate.name, f"needs SDK {manifest.sdk}; this Pilothouse has {SDK_VERSION}")
    except InvalidSpecifier:
        raise PluginError(candidate.name, f"the manifest's sdk {manifest.sdk!r} is no version range") from None
    return manifest


def _call(name: str, module: object, hook: str, manager: pluggy.PluginManager) -> Any:
    """Call one plugin's implementation of a registration hook; None where it has none."""
    for implementation in getattr(manager.hook, PREFIX + hook).get_hookimpls():
        if implementation.plugin is module:
            try:
                return implementation.function()
            except (Exception, SystemExit) as fault:  # a hook is code of a plugin, which may raise anything
                raise PluginError(name, f"{PREFIX}{hook} raised {type(fault).__name__}: {fault}") from fault
    return None


def _collect(state: PluginState, manager: pluggy.PluginManager) -> dict[str, tuple[Any, ...]]:
    kinds = [name.removeprefix(PREFIX) for name in dir(hookspecs) if name.startswith(PREFIX)]
    collected: dict[str, tuple[Any, ...]] = {}
    for kind in kinds:
        if kind == "manifest" or kind in ANSWERS:
            continue
        answer = _call(state.name, state.module, kind, manager)
        if answer is None:
            continue
        if kind != "migrations" and not isinstance(answer, Iterable):
            raise PluginError(state.name, f"{PREFIX}{kind} must return a list, not {type(answer).__name__}")
        try:
            collected[kind] = (answer,) if kind == "migrations" else tuple(answer)
        except (Exception, SystemExit) as fault:  # a hook may be a generator, whose code runs only now
            raise PluginError(state.name, f"{PREFIX}{kind} raised {type(fault).__name__}: {fault}") from fault
    return collected


def _refuse_broken(name: str, models: Iterable[Any], broken: Mapping[type, str]) -> None:
    for model in models:
        if model in broken:
            raise PluginError(name, f"pilothouse_models: {model.__name__} cannot be mapped: {broken[model]}")


def _in_order(states: list[PluginState], manager: pluggy.PluginManager) -> list[PluginState]:
    """Sort by `requires`, else ours before others', who could take a name from them, else as given.

    A cycle takes its members out.
    """
    by_name = {state.name: state for state in states}
    graph = {s.name: [r for r in (s.manifest.requires if s.manifest else ()) if r in by_name] for s in states}
    places = {state.name: (state.distribution != OURS, place) for place, state in enumerate(states)}
    while True:
        try:
            return [by_name[name] for name in _sorted(TopologicalSorter(graph), places)]
        except CycleError as fault:
            for name in fault.args[1]:
                _fail(by_name[name], f"requires itself in a circle: {' > '.join(fault.args[1])}", manager)
                graph[name] = []


def _sorted(sorter: TopologicalSorter[str], places: Mapping[str, tuple[bool, int]]) -> list[str]:
    """Return the names, of those whose turn it may be always the one with the least place. Raises CycleError."""
    sorter.prepare()
    found: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=places.__getitem__)
        found.append(ready.pop(0))
        sorter.done(found[-1])
    return found
