"""The event bus: `publish` inside a unit of work, reactions now or later.

"now" reactions run in the publisher's own transaction, inside a savepoint: a failing one is undone, counted and never
takes the publisher with it. "later" ones become jobs in the same transaction, so they exist exactly if the fact does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pilothouse.contract.contributions import Reaction
from pilothouse.contract.events import Event
from pilothouse.db import db
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.work import jobs

REACT = "core.react"


def publish(event: Event) -> None:
    """Tell everyone who reacts to the event. Must be called inside a unit of work."""
    session = db.session()
    for plugin, reaction in runtime().registry.reactions_to(type(event)):
        if not is_enabled(plugin):
            continue
        if reaction.when == "now":
            session.flush()  # a reaction may point at rows of the publisher
            _react_now(plugin, reaction, event)
        else:
            payload = {"reaction": reaction.name, "event": msgspec.to_builtins(event)}
            jobs.enqueue(REACT, payload, event_id=event.event_id)


def _react_now(plugin: str, reaction: Reaction, event: Event) -> None:
    savepoint = db.session().begin_nested()
    try:
        runtime().registry.guard.call(plugin, reaction.name, reaction.handle, event)
        savepoint.commit()
    except PluginFailed:
        savepoint.rollback()


def react(payload: Mapping[str, Any]) -> None:
    """Run one "later" reaction: the task `core.react`. A reaction whose plugin is gone is dropped."""
    for _, reaction in runtime().registry.all("reactions"):
        if reaction.name == payload["reaction"]:
            reaction.handle(msgspec.convert(payload["event"], reaction.event))
            return
