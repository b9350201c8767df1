"""Switching plugins off and on while the console runs; every process follows within two seconds.

A plugin that is off stays loaded: its pages and routes answer 404, its signals are refused with that reason, its
navigation, panels, tasks and reactions rest. Nothing of its data is touched.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from pilothouse import clock
from pilothouse.db import after_commit, db, explain, unit_of_work
from pilothouse.errors import Conflict, NotFound
from pilothouse.plugins.models import PluginSwitch
from pilothouse.runtime import runtime

CORE = "core"
KEPT = 2 * clock.SECOND


@dataclass(slots=True)
class Switches:
    """Which plugins are off, as this process last read it."""

    off: frozenset[str] = frozenset()
    known: bool = False
    read_at: int = 0
    revision: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def is_enabled(name: str) -> bool:
    """Say whether a plugin is loaded and switched on."""
    plugin = runtime().registry.get(name)
    if plugin is None or plugin.state != "loaded":
        return False
    return name == CORE or name not in switched_off()  # the core is asked for while the database is away, too


def switched_off() -> frozenset[str]:
    """Return the plugins that are off. Reads the table again when it changed, or every 2 s where nobody can say.

    While the database is away it is what it was before.
    """
    switches: Switches = runtime().switches
    now = clock.now()
    if now - switches.read_at < KEPT:
        return switches.off
    with switches.lock:
        revision = runtime().changes.revision("plugins")
        if revision is None or revision != switches.revision or not switches.read_at:
            _read(switches)
        switches.revision, switches.read_at = revision, now
    return switches.off


def _read(switches: Switches) -> None:
    try:
        with db.engine.connect() as connection:
            switches.off, switches.known = frozenset(connection.scalars(select(PluginSwitch.name))), True
    except SQLAlchemyError as fault:
        if explain(fault) is None or not switches.known:
            raise


def switch(name: str, *, enabled: bool, by: str) -> None:
    """Switch a plugin on or off.

    Raises NotFound for an unknown plugin, Conflict for the core, for one that failed, where another plugin that is on
    requires it, or where one that it requires is off.
    """
    registry = runtime().registry
    plugin = registry.get(name)
    if plugin is None:
        raise NotFound(f"There is no plugin named {name}.")
    if name == CORE:
        raise Conflict("The core cannot be switched off.")
    if enabled and plugin.state == "failed":
        raise Conflict(f"{name} failed: {plugin.reason}")
    needing = [p.name for p in registry.loaded if name in p.manifest.requires and is_enabled(p.name)]
    if not enabled and needing:
        raise Conflict(f"{name} is required by {', '.join(needing)}; switch those off first.")
    missing = [needed for needed in plugin.manifest.requires if not is_enabled(needed)] if enabled else []
    if missing:
        raise Conflict(f"{name} requires {', '.join(missing)}; switch those on first.")
    with unit_of_work() as session:
        row = session.get(PluginSwitch, name)
        if enabled and row is not None:
            session.delete(row)
        elif not enabled and row is None:
            session.add(PluginSwitch(name=name, switched_off_at=clock.now(), switched_off_by=by))
        after_commit(_changed)


def _changed() -> None:
    runtime().switches.read_at = 0
    runtime().changes.bump("plugins")
