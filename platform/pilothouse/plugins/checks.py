"""What a plugin's contributions must keep to: types, unique names, names that carry the plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from flask import Blueprint

from pilothouse.access import Permission
from pilothouse.contract import contributions as c
from pilothouse.contract.events import Event
from pilothouse.errors import PluginError
from pilothouse.settings import Setting
from pilothouse.signals import Signal, tag_of

INSTANCES: Mapping[str, type] = {
    "settings": Setting,
    "migrations": Path,
    "recorders": c.Recorder,
    "measures": c.Measure,
    "permissions": Permission,
    "admin_views": c.AdminView,
    "navigation": c.NavItem,
    "panels": c.Panel,
    "palette": c.PaletteSource,
    "api_blueprints": Blueprint,
    "tasks": c.Task,
    "beat_schedule": c.BeatEntry,
    "reactions": c.Reaction,
    "notification_categories": c.NotificationCategory,
    "event_sinks": c.EventSink,
    "login_methods": c.LoginMethod,
    "cli": click.Command,
    "health_checks": c.HealthCheck,
    "enrichers": c.Enricher,
}
CLASSES: Mapping[str, type] = {"signals": Signal, "events": Event, "models": object}
PREFIXED = frozenset({"permissions", "tasks", "events", "reactions", "panels", "beat_schedule", "health_checks",
                      "event_sinks"})  # fmt: skip
SHARED_SUBJECTS = frozenset({"recorders", "enrichers", "migrations", "models", "navigation"})


def check_contributions(plugin: str, found: Mapping[str, tuple[Any, ...]], taken: dict[str, dict[str, str]]) -> None:
    """Check what a plugin returned against what others took already, and take its names.

    Raises PluginError that names the hook, the thing and, for a conflict, the other plugin.
    """
    for kind, items in found.items():
        for item in items:
            _check_type(plugin, kind, item)
            if kind in SHARED_SUBJECTS:
                continue
            name = name_of(kind, item)
            if kind in PREFIXED and plugin != "core" and not name.startswith(f"{plugin}."):
                raise PluginError(plugin, f"pilothouse_{kind}: the name {name!r} must start with {plugin + '.'!r}")
            other = taken.setdefault(kind, {}).setdefault(name, plugin)
            if other != plugin or [name_of(kind, i) for i in items].count(name) > 1:
                raise PluginError(plugin, f"pilothouse_{kind}: the name {name!r} is taken by {other}")


def name_of(kind: str, item: Any) -> str:
    """Return the name by which a contribution must be unique."""
    if kind == "signals":
        return tag_of(item)
    return str(item.name()) if kind == "events" else str(item.name)


def _check_type(plugin: str, kind: str, item: Any) -> None:
    expected = INSTANCES.get(kind) or CLASSES[kind]
    right = isinstance(item, expected) if kind in INSTANCES else isinstance(item, type) and issubclass(item, expected)
    if not right:
        raise PluginError(plugin, f"pilothouse_{kind}: {item!r:.80} is no {expected.__name__}")
