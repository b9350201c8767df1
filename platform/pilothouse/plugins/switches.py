"""Switching plugins off and on while the console runs; every process follows within two seconds.

A plugin that is off stays loaded: its pages and routes answer 404, its signals are refused with that reason, its
navigation, panels, tasks and reactions rest. Nothing of its data is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from pilothouse import clock
from pilothouse.db import after_commit, db, explain, in_unit_of_work, insert_ignore, unit_of_work
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
    # the core is asked for while the database is away, too
    return name == CORE or _works(name, switched_off())


def switched_off() -> frozenset[str]:
    """Return the plugins that are off. Reads the table again when it changed, or every 2 s where nobody can say.

    While the database is away it is what it was before. Nobody who holds a writer's connection waits for it: reading takes
    a second one, which many writers that wait for each other may hold all of.
    """
    switches: Switches = runtime().switches
    now = clock.now()
    if now - switches.read_at < KEPT or (switches.known and in_unit_of_work()):
        return switches.off
    if switches.lock.acquire(blocking=not switches.known):
        try:
            if now - switches.read_at >= KEPT:  # nobody has read it while this thread waited
                _refresh(switches, now)
        finally:
            switches.lock.release()
    return switches.off


def _refresh(switches: Switches, now: int) -> None:
    revision = runtime().changes.revision("plugins")
    if revision is None or revision != switches.revision or not switches.read_at:
        _read(switches)
    switches.revision, switches.read_at = revision, now


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
    with unit_of_work() as session:
        off = set(session.scalars(select(PluginSwitch.name)))  # as it is now, whatever this process last read
        needing = [p.name for p in registry.loaded if name in p.manifest.requires and p.name not in off]
        if not enabled and needing:
            raise Conflict(f"{name} is required by {', '.join(needing)}; switch those off first.")
        missing = [needed for needed in plugin.manifest.requires if not _works(needed, off)] if enabled else []
        if missing:
            raise Conflict(f"{name} requires {', '.join(missing)}; switch those on first.")
        row = session.get(PluginSwitch, name)
        if enabled and row is not None:
            session.delete(row)
        elif not enabled and row is None:
            row_now = {"name": name, "switched_off_at": clock.now(), "switched_off_by": by}
            insert_ignore(session.connection(), PluginSwitch.__table__, [row_now])  # somebody else may do the same just now
        after_commit(partial(_changed, frozenset(off - {name} if enabled else off | {name})))


def _works(name: str, off: Collection[str]) -> bool:
    plugin = runtime().registry.get(name)
    return plugin is not None and plugin.state == "loaded" and name not in off


def _changed(off: frozenset[str]) -> None:
    switches: Switches = runtime().switches
    switches.off, switches.read_at = off, 0  # at once for this process, and read again at the next occasion
    runtime().changes.bump("plugins")
