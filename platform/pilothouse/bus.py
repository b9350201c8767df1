"""The event bus: `publish` inside a unit of work, reactions now or later.

"now" reactions run in the publisher's own transaction, inside a savepoint: a failing one is undone, counted and never
takes the publisher with it. "later" ones become jobs in the same transaction, so they exist exactly if the fact does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.db import before_commit, db, explain
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.work import jobs

REACT = "core.react"
BARE = "pilothouse_bare"  # in the session's info: code of plugins runs without savepoints, see `without_savepoints`

R = TypeVar("R")


class Stumbled(BaseException):
    """A plugin's code failed without a savepoint around it. No `Exception`, so that no plugin catches it on its way up."""


@contextmanager
def without_savepoints() -> Iterator[None]:
    """Run plugins' code in the block without savepoints of their own; what fails raises Stumbled.

    For whoever can roll back the whole transaction and do it again with them: a dozen savepoints cost a report more than
    a millisecond, and are almost never needed.
    """
    info = db.session().info
    info[BARE] = True
    try:
        yield
    finally:
        del info[BARE]


def are_bare() -> bool:
    """Say whether plugins' code runs without savepoints now."""
    return BARE in db.session().info


def run_bare(function: Callable[..., R], *args: Any) -> R:
    """Run code of a plugin without a savepoint. Raises Stumbled where it fails; an outage of the database goes up."""
    try:
        return function(*args)
    except Exception as fault:  # whatever a plugin raises
        if explain(fault) is not None:
            raise
        raise Stumbled from fault


def publish(event: Event) -> None:
    """Tell everyone who reacts to the event. Must be called inside a unit of work."""
    session = db.session()
    registry = runtime().registry
    kind = type(event)
    for plugin, reaction in registry.reactions_to(kind):
        if not is_enabled(plugin):
            continue
        if reaction.when == "now":
            session.flush()  # a reaction may point at rows of the publisher
            _react_now(plugin, reaction, event)
        else:
            payload = {"reaction": reaction.name, "event": msgspec.to_builtins(event)}
            jobs.enqueue(REACT, payload, event_id=event.event_id)
    for plugin, sink in registry.sinks_of(kind):
        if is_enabled(plugin):
            _handover().events.append((plugin, sink, event))


@dataclass(slots=True)
class _Handover:
    """The events of one unit of work for sinks: handed over at its end, so that a batch costs each sink one call."""

    events: list[tuple[str, EventSink, Event]] = field(default_factory=list)

    def __call__(self) -> None:
        """Give each sink its events, each in a savepoint."""
        by_sink: dict[str, tuple[str, EventSink, list[Event]]] = {}
        for plugin, sink, event in self.events:
            by_sink.setdefault(sink.name, (plugin, sink, []))[2].append(event)
        self.events = []
        if by_sink:
            db.session().flush()  # before the savepoints: rows of the publisher must not be undone with one
        for plugin, sink, events in by_sink.values():
            _guarded(plugin, sink.name, sink.take, events)


def published() -> int:
    """Return a mark for `take_back`: how many events wait for their sinks."""
    return len(_handover().events)


def take_back(mark: int) -> None:
    """Forget the events that were published since the mark: the caller undid the savepoint in which they happened."""
    del _handover().events[mark:]


def _handover() -> _Handover:
    """Return the handover of the open unit of work; events of one that was rolled back went with it."""
    waiting = [c for c in db.session().info["before_commit"] if isinstance(c, _Handover)]
    if not waiting:
        waiting.append(_Handover())
        before_commit(waiting[0])
    return waiting[0]


def _react_now(plugin: str, reaction: Reaction, event: Event) -> None:
    mark = published()
    if not _guarded(plugin, reaction.name, reaction.handle, event):
        take_back(mark)


def _guarded(plugin: str, what: str, handle: Callable[[Any], None], argument: Any) -> bool:
    """Run code of a plugin in a savepoint; say whether it went well. An outage of the database goes up."""
    if are_bare():
        if runtime().registry.guard.doubts(plugin, what):
            raise Stumbled
        run_bare(_flushed, handle, argument)
        return True
    savepoint = db.session().begin_nested()
    try:
        runtime().registry.guard.call(plugin, what, _flushed, handle, argument)
        savepoint.commit()
    except PluginFailed as fault:
        if fault.__cause__ is not None and explain(fault.__cause__) is not None:
            raise fault.__cause__ from None  # SQLite has undone the whole transaction by itself, savepoints included
        savepoint.rollback()
        return False
    return True


def _flushed(handle: Callable[[Any], None], argument: Any) -> None:
    handle(argument)
    db.session().flush()  # what a plugin's rows break must be its own failure, not the publisher's


def react(payload: Mapping[str, Any]) -> None:
    """Run one "later" reaction: the task `core.react`. A reaction whose plugin is gone or switched off is dropped."""
    for plugin, reaction in runtime().registry.all("reactions"):
        if reaction.name == payload["reaction"] and is_enabled(plugin):
            reaction.handle(msgspec.convert(payload["event"], reaction.event))
            return
