"""Plugins that fail are told of once each: owners and admins hear of it by an event, the audit log keeps it.

Every process finds out by itself at its start, so none of them tells: a task looks once a minute, and what the log said
last of a plugin decides whether there is news. A plugin that works again is noted, so that its next failure is news too.
A part that fails again and again while it runs is told of by the process that saw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from pilothouse import audit, bus, logs
from pilothouse.audit import AuditEntry
from pilothouse.contract.events import Event
from pilothouse.contract.notices import Notice, NotificationCategory
from pilothouse.contract.work import BeatEntry, Task
from pilothouse.db import db, lock_writers, unit_of_work
from pilothouse.errors import PilothouseError
from pilothouse.faults import describe
from pilothouse.plugins.guard import TRIES
from pilothouse.plugins.registry import CORE, PluginState
from pilothouse.runtime import application, runtime

LOOK = "core.look_after_plugins"
CONTAINED, RECOVERED = "plugin.contained", "plugin.recovered"  # in the audit log
RESTED = "plugin.part_rested"
REASON_CHARS = 1_000


class PluginContained(Event, frozen=True, kw_only=True):
    """A plugin failed and was left out: its name, version and the reason, in words for people.

    `part` names what of it failed several times in a row; it is empty where all of it failed to load.
    """

    plugin: str
    version: str
    reason: str
    part: str = ""

    @classmethod
    def name(cls) -> str:
        """Return `core.plugin_contained`."""
        return "core.plugin_contained"


def look(_payload: Mapping[str, Any]) -> None:
    """Compare what works with what the log said last, and tell what is new; the task `core.look_after_plugins`."""
    plugins = [plugin for plugin in runtime().registry.plugins if plugin.name != CORE]
    if not _news(plugins):
        return
    with unit_of_work() as session:
        lock_writers(session.connection())  # two workers that look at once must not both tell
        for plugin, failed in _news(plugins):
            detail = {"version": plugin.version, **({"reason": plugin.reason[:REASON_CHARS]} if failed else {})}
            audit.record(CONTAINED if failed else RECOVERED, _target(plugin), detail=detail)
            if failed:
                words = plugin.reason[:REASON_CHARS]
                bus.publish(PluginContained(plugin=plugin.name, version=plugin.version, reason=words))


def _news(plugins: list[PluginState]) -> list[tuple[PluginState, bool]]:
    """Return the plugins of which the log says something else than what is, with whether they failed."""
    said = _said([_target(plugin) for plugin in plugins])
    found = [(plugin, plugin.state == "failed") for plugin in plugins]
    return [(plugin, failed) for plugin, failed in found if failed != (said.get(_target(plugin)) == CONTAINED)]


def _said(targets: list[str]) -> dict[str, str]:
    newest = select(func.max(AuditEntry.seq)).where(
        AuditEntry.target.in_(targets), AuditEntry.action.in_((CONTAINED, RECOVERED))
    )
    last = select(AuditEntry.target, AuditEntry.action).where(AuditEntry.seq.in_(newest.group_by(AuditEntry.target)))
    return {row.target: row.action for row in db.session().execute(last)}


def _target(plugin: PluginState) -> str:
    return f"plugin:{plugin.name}"


def init_containment(app: Flask) -> None:
    """Tell people of what began to rest while a request or a task ran, once that has ended."""
    app.teardown_request(_tell_rested)
    app.teardown_appcontext(_tell_rested)


def _tell_rested(_fault: BaseException | None) -> None:
    """Write it in a transaction of its own: the one in which the plugin failed may have been rolled back."""
    registry = runtime().registry
    rested = registry.guard.take_rested()
    if not rested:
        return
    versions = {plugin.name: plugin.version for plugin in registry.plugins}
    try:
        with application().app_context(), unit_of_work():
            for one in rested:
                words = one.reason[:REASON_CHARS]
                audit.record(RESTED, f"plugin:{one.plugin}", detail={"part": one.what, "reason": words})
                bus.publish(
                    PluginContained(plugin=one.plugin, version=versions.get(one.plugin, ""), reason=words, part=one.what)
                )
    except (PilothouseError, SQLAlchemyError) as fault:  # the database is away: the log and the Plugins page still say it
        logs.get("plugins").warning("rest_not_told", reason=describe(fault))


def contained(event: PluginContained) -> Notice:
    """Tell of a plugin, or a part of one, that was left out."""
    if event.part:
        message = f"{event.part} failed {TRIES} times in a row. {event.reason}"
    else:
        message = f"It was left out, everything else goes on. {event.reason}"
    return Notice(
        title=f"A plugin does not work: {event.plugin}",
        message=message,
        type="error",
        action_url="/settings/plugins",
        action_label="Open the plugins page",
        fold_key=f"core.plugin_contained:{event.plugin}:{event.part}",
    )


EVENTS = (PluginContained,)
CATEGORIES = (
    NotificationCategory(
        "core.plugin_contained",
        "Plugins that do not work",
        "system",
        PluginContained,
        contained,
        permission="core.plugins.view",
    ),
)
TASKS = (Task(LOOK, look, transaction=False),)
BEAT = (BeatEntry(LOOK, LOOK, every_s=60),)
