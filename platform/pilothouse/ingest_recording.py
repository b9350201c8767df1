"""Recording a group of signals inside one database transaction: enriched, prepared, stored by their owners, counted by others.

Plugins' code runs contained: what one breaks is undone and refused, or left out, and the rest is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection

from pilothouse import bus, clock
from pilothouse.contract.recording import Batch, Enricher, Link, Recorded, Recorder, Source
from pilothouse.db import explain
from pilothouse.errors import FieldError
from pilothouse.measures import Deltas
from pilothouse.outcomes import Outcome, Rejection
from pilothouse.plugins.registry import Registry
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.signals import CORE_SIGNALS, Error, Execution, Signal, tag_of

SAVEPOINT = "pilothouse_recorder"
T = TypeVar("T")
R = TypeVar("R")

LONGEST_ID = 128
MOST_SPLITS = 32  # halvings of failing groups in one transaction: enough for two or three signals that break a recorder


class Recorders:
    """Who stores and fills in which signal type, as the plugins say; built once, from the registry."""

    def __init__(self, registry: Registry) -> None:
        """Collect the signal types and who records them."""
        self._registry = registry
        self.types: tuple[type[Signal], ...] = (*CORE_SIGNALS, *(kind for _, kind in registry.all("signals")))
        self._order = {kind: place for place, kind in enumerate(self.types)}
        self._recorders: dict[type[Signal], list[tuple[str, Recorder]]] = {}
        for plugin, recorder in registry.all("recorders"):
            self._recorders.setdefault(recorder.signal, []).append((plugin, recorder))
        for recorders in self._recorders.values():
            recorders.sort(key=lambda pair: not pair[1].owner)  # stable: the owner first, then by `requires`

    def enabled(self) -> set[str]:
        """Return the plugins that record something and are on."""
        return {plugin for recorders in self._recorders.values() for plugin, _ in recorders if is_enabled(plugin)}

    def of(self, kind: type[Signal], enabled: set[str]) -> list[tuple[str, Recorder]]:
        """Return the recorders of a signal type whose plugins are on, the owner first."""
        return [pair for pair in self._recorders.get(kind, ()) if pair[0] in enabled]

    def enrichers_of(self, kind: type[Signal]) -> list[tuple[str, Enricher]]:
        """Return what fills in fields of a signal type, of plugins that are on."""
        found: list[tuple[str, Enricher]] = self._registry.all("enrichers")
        return [(plugin, enricher) for plugin, enricher in found if enricher.signal is kind and is_enabled(plugin)]

    def place(self, kind: type[Signal]) -> int:
        """Return the place of a type in the fixed order of recording: executions, steps, errors, usage, events, others."""
        return self._order[kind]


@dataclass(slots=True)
class Entry:
    """One signal inside a group: where it came from and where its verdict goes."""

    signal: Signal
    source: Source
    outcome: Outcome
    index: int
    derived: bool = False  # made from another signal: it is recorded but not counted in the answer


class Recording:
    """The recording of one group inside one database transaction: `record`, then `deltas.write`."""

    def __init__(self, recorders: Recorders, connection: Connection, enabled: set[str]) -> None:
        self._recorders, self._connection, self._enabled = recorders, connection, enabled
        self._links: dict[str, Link] = {}
        self._workflows: dict[str, str] = {}
        self._workflow_names: dict[str, str] = {}
        self._received_at = clock.now()
        self._splits = MOST_SPLITS
        self.deltas = Deltas()
        self.topics: tuple[str, ...] = ()

    def record(self, entries: list[Entry]) -> None:
        """Record a group type by type in the fixed order, after every owner has prepared."""
        entries = [*entries, *(e for entry in entries if (e := _inline_error(entry)) is not None)]
        entries.sort(key=lambda entry: self._recorders.place(type(entry.signal)))
        groups = [(kind, list(group)) for kind, group in groupby(entries, key=lambda entry: type(entry.signal))]
        batches = [(kind, group, self._batch(kind, group)) for kind, group in groups]
        for kind, _, batch in batches:
            recorders = self._recorders.of(kind, self._enabled)
            for plugin, recorder in recorders if _owned(recorders) else ():
                if recorder.prepare is not None:
                    self._run(plugin, f"prepare {tag_of(kind)}", recorder.prepare, batch)
        for kind, group, batch in batches:
            self._record_type(kind, group, batch)
        involved = [self._recorders.of(kind, self._enabled) for kind, _ in groups]
        self.topics = tuple(sorted({plugin for recorders in involved for plugin, _ in recorders}))

    def _batch(self, kind: type[Signal], group: list[Entry]) -> Batch:
        signals = [entry.signal for entry in group]
        what = f"enrich {tag_of(kind)}"
        for plugin, enricher in self._recorders.enrichers_of(kind):
            signals = contained(self._connection, plugin, what, partial(_enriched, enricher), signals) or signals
        return Batch(
            signals, [entry.source for entry in group], self._connection, self.deltas, bus.publish, self._links,
            self._workflows, self._received_at, self._workflow_names,
        )  # fmt: skip

    def _record_type(self, kind: type[Signal], group: list[Entry], batch: Batch) -> None:
        recorders = self._recorders.of(kind, self._enabled)
        if not _owned(recorders):
            _reject(group, FieldError("type", f"no enabled plugin records {tag_of(kind)!r}"))
            return
        self._record_part(recorders, group, batch)

    def _record_part(self, recorders: Sequence[tuple[str, Recorder]], group: list[Entry], batch: Batch) -> None:
        """Let the owner record a group, then the others what was new in it. A group that fails is tried in halves."""
        plugin, owner = recorders[0]
        what = f"record {tag_of(owner.signal)}"
        recorded = self._run(plugin, what, owner.record, batch)
        if recorded is None and len(group) > 1 and self._splits:
            self._splits -= 1
            middle = len(group) // 2
            self._record_part(recorders, group[:middle], _subset(batch, range(middle)))
            self._record_part(recorders, group[middle:], _subset(batch, range(middle, len(group))))
            return
        if recorded is None:
            _reject(group, FieldError("type", f"the plugin {plugin} failed to record it"))
            return
        fresh = _settle(group, recorded)
        if not fresh:
            return
        rest = batch if len(fresh) == len(group) else _subset(batch, fresh)
        for name, recorder in recorders[1:]:
            self._run(name, what, recorder.record, rest)

    def _run(self, plugin: str, what: str, function: Callable[[Batch], Recorded | None], batch: Batch) -> Recorded | None:
        """Run a recorder or what prepares one; None where it failed."""
        deltas, self.deltas = self.deltas, Deltas()
        batch.measures = self.deltas
        recorded = contained(self._connection, plugin, what, partial(_recorded, function), batch)
        if recorded is not None:
            deltas.merge(self.deltas)
        self.deltas = deltas
        return recorded


def contained(connection: Connection, plugin: str, what: str, function: Callable[[T], R], argument: T) -> R | None:
    """Run code of a plugin in a savepoint; None where it failed: that undoes its own writes only.

    An outage of the database goes up. The savepoint is written as SQL: SQLAlchemy's own object costs ten times as
    much, a dozen times a batch. Within `bus.without_savepoints` there is none, and a failure raises Stumbled.
    """
    if bus.are_bare():
        return bus.run_bare(function, argument)
    connection.exec_driver_sql(f"SAVEPOINT {SAVEPOINT}")
    mark = bus.published()
    try:
        result = function(argument)
    except Exception as fault:  # whatever a plugin raises
        if explain(fault) is not None:
            raise  # SQLite has undone the whole transaction by itself, savepoints included
        connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {SAVEPOINT}")
        bus.take_back(mark)
        runtime().registry.guard.note(plugin, what, fault)
        return None
    connection.exec_driver_sql(f"RELEASE SAVEPOINT {SAVEPOINT}")
    runtime().registry.guard.note_success(plugin, what)
    return result


def _recorded(function: Callable[[Batch], Recorded | None], batch: Batch) -> Recorded:
    """Let a recorder work. Raises TypeError where it says something else than what became of the batch."""
    recorded: Any = function(batch)
    if recorded is not None and not isinstance(recorded, Recorded):
        raise TypeError(f"a recorder must return Recorded or None, not {recorded!r:.80}")
    return recorded or Recorded()


def _enriched(enricher: Enricher, signals: list[Any]) -> list[Any]:
    """Return the signals with fields filled in. Raises ValueError where others come back."""
    found = list(enricher.enrich(signals))
    if [(type(signal), signal.id) for signal in found] != [(type(signal), signal.id) for signal in signals]:
        raise ValueError("an enricher must return the same signals in the same order")
    return found


def _inline_error(entry: Entry) -> Entry | None:
    """Make the error signal out of an execution's own report; its id follows from the execution's, so it comes once."""
    execution = entry.signal
    if not isinstance(execution, Execution) or execution.error is None:
        return None
    detail = execution.error
    error = Error(
        id=detail.id or _error_id(execution.id),
        error_type=detail.error_type or "Error",
        message=detail.message,
        at=detail.at or execution.finished_at or execution.started_at,
        execution_id=execution.id,
        workflow=execution.workflow,
        stack_trace=detail.stack_trace,
        frames=detail.frames,
        severity=detail.severity,
        handled=detail.handled,
        fingerprint=detail.fingerprint,
        release=execution.release,
        environment=execution.environment,
        user=execution.user,
        attributes=detail.attributes,
    )
    return Entry(error, entry.source, Outcome(), entry.index, derived=True)


def _error_id(execution_id: str) -> str:
    """Return the id of an execution's own error; ids are as long as they may be, so a long one is told by its hash."""
    name = f"{execution_id}:error"
    return name if len(name) <= LONGEST_ID else f"{hashlib.sha256(execution_id.encode()).hexdigest()}:error"


def _owned(recorders: Sequence[tuple[str, Recorder]]) -> bool:
    """Say whether somebody keeps the signals of this type, so that others may count them."""
    return bool(recorders) and recorders[0][1].owner


def _reject(group: Sequence[Entry], error: FieldError) -> None:
    for entry in group:
        entry.outcome.rejected.append(Rejection(entry.index, entry.signal.id, [error]))


def _settle(group: Sequence[Entry], recorded: Recorded) -> list[int]:
    """Count each signal's fate and return the places of those that were new."""
    fresh = []
    for place, entry in enumerate(group):
        if place in recorded.rejected:
            error = FieldError("", recorded.rejected[place])
            entry.outcome.rejected.append(Rejection(entry.index, entry.signal.id, [error]))
        elif place in recorded.duplicates:
            entry.outcome.duplicates += 1
        else:
            entry.outcome.accepted += 1
            fresh.append(place)
    return fresh


def _subset(batch: Batch, places: Sequence[int]) -> Batch:
    return Batch(
        [batch.signals[place] for place in places], [batch.sources[place] for place in places], batch.connection,
        batch.measures, batch.publish, batch.links, batch.workflows, batch.received_at, batch.workflow_names,
    )  # fmt: skip
