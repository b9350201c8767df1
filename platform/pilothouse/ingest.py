"""Ingest: signals in, counts out; decoded, scrubbed, recorded and committed before the answer.

Every source ends here: `/api/ingest`, the doors of other protocols and Pilothouse's own reports. Requests that arrive
together share one commit: whoever gets the lock records everything that waits (group commit), since a durable commit
costs about 3 ms on SQLite and a request alone would pay it by itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from pilothouse import bus, clock
from pilothouse.contract.contributions import Batch, Link, Recorded, Recorder, Source
from pilothouse.db import after_commit, explain, lock_writers, unit_of_work
from pilothouse.errors import FieldError, PilothouseError
from pilothouse.measures import Deltas
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.registry import Registry
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.signals import CORE_SIGNALS, Error, Execution, Signal, tag_of

SAVEPOINT = "pilothouse_recorder"
GROUP_LIMIT = 5_000  # signals that share one commit; more would keep the first caller waiting


@dataclass(slots=True)
class Rejection:
    """A signal that was not stored: its place in the request, its id where it had a readable one, and why."""

    index: int
    id: str | None
    errors: list[FieldError]


@dataclass(slots=True)
class Outcome:
    """What became of one request's signals."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[Rejection] = field(default_factory=list)


@dataclass(slots=True)
class _Job:
    """One request's signals on their way: `items` holds each signal with its place in the request."""

    items: list[tuple[int, Signal]]
    source: Source
    outcome: Outcome
    done: bool = False
    fault: BaseException | None = None


class Ingest:
    """Takes signals of one application; thread-safe. Built once, from the registry."""

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
        self._waiting: list[_Job] = []
        self._queue_lock = threading.Lock()
        self._commit_lock = threading.Lock()

    def submit(self, items: Iterable[tuple[int, Signal]], source: Source, outcome: Outcome | None = None) -> Outcome:
        """Store signals and return once they are committed.

        `items` pairs each signal with its place in the request; `outcome` carries what was rejected before. Raises
        StoreAway or StorageFull when the database cannot take them; nothing is stored then.
        """
        job = _Job(list(items), source, outcome or Outcome())
        if not job.items:
            return job.outcome
        with self._queue_lock:
            self._waiting.append(job)
        with self._commit_lock:
            while not job.done:
                self._record_group(self._take())
        if job.fault is not None:
            raise job.fault
        return job.outcome

    def _take(self) -> list[_Job]:
        with self._queue_lock:
            size, count = 0, 0
            while count < len(self._waiting) and (count == 0 or size + len(self._waiting[count].items) <= GROUP_LIMIT):
                size += len(self._waiting[count].items)
                count += 1
            group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    def _record_group(self, group: list[_Job]) -> None:
        try:
            outcomes = self._record(group)
        except Exception as fault:  # noqa: BLE001 - each request must get its own verdict: alone, or the outage itself
            outage = fault if isinstance(fault, PilothouseError) else explain(fault)
            if outage is None and len(group) > 1:
                for job in group:
                    self._record_group([job])
                return
            for job in group:
                job.fault, job.done = outage or fault, True
            return
        for job, outcome in zip(group, outcomes, strict=True):
            job.outcome.accepted += outcome.accepted
            job.outcome.duplicates += outcome.duplicates
            job.outcome.rejected += outcome.rejected
            job.done = True

    def _record(self, group: list[_Job]) -> list[Outcome]:
        outcomes = [Outcome() for _ in group]
        entries = [
            _Entry(signal, job.source, outcome, index)
            for job, outcome in zip(group, outcomes, strict=True)
            for index, signal in job.items
        ]
        enabled = {plugin for recorders in self._recorders.values() for plugin, _ in recorders if is_enabled(plugin)}
        with unit_of_work() as session:
            connection = session.connection()
            lock_writers(connection)
            transaction = _Transaction(self, connection, enabled)
            transaction.record(entries)
            transaction.deltas.write(connection)
            topics = transaction.topics
            after_commit(lambda: runtime().changes.bump(*topics) if topics else None)
        return outcomes

    def recorders_of(self, kind: type[Signal], enabled: set[str]) -> list[tuple[str, Recorder]]:
        """Return the recorders of a signal type whose plugins are on, the owner first."""
        return [pair for pair in self._recorders.get(kind, ()) if pair[0] in enabled]

    def enrich(self, kind: type[Signal], signals: list[Any]) -> list[Any]:
        """Let enrichers fill in fields; a failing one changes nothing."""
        for plugin, enricher in self._registry.all("enrichers"):
            if enricher.signal is not kind or not is_enabled(plugin):
                continue
            with contextlib.suppress(PluginFailed):  # counted by the guard
                enriched = self._registry.guard.call(plugin, "enrich", enricher.enrich, signals)
                signals = enriched if len(enriched) == len(signals) else signals
        return signals

    def place(self, kind: type[Signal]) -> int:
        """Return the place of a type in the fixed order of recording: executions, steps, errors, usage, events, others."""
        return self._order[kind]


@dataclass(slots=True)
class _Entry:
    """One signal inside a group: where it came from and where its verdict goes."""

    signal: Signal
    source: Source
    outcome: Outcome
    index: int
    derived: bool = False  # made from another signal: it is recorded but not counted in the answer


class _Transaction:
    """The recording of one group inside one database transaction."""

    def __init__(self, ingest: Ingest, connection: Connection, enabled: set[str]) -> None:
        self._ingest, self._connection, self._enabled = ingest, connection, enabled
        self._links: dict[str, Link] = {}
        self._workflows: dict[str, str] = {}
        self._received_at = clock.now()
        self.deltas = Deltas()
        self.topics: tuple[str, ...] = ()

    def record(self, entries: list[_Entry]) -> None:
        entries = [*entries, *(e for entry in entries if (e := _inline_error(entry)) is not None)]
        entries.sort(key=lambda entry: self._ingest.place(type(entry.signal)))
        groups = [(kind, list(group)) for kind, group in groupby(entries, key=lambda entry: type(entry.signal))]
        batches = [(kind, group, self._batch(kind, group)) for kind, group in groups]
        for kind, _, batch in batches:
            recorders = self._ingest.recorders_of(kind, self._enabled)
            for plugin, recorder in recorders if _owned(recorders) else ():
                if recorder.prepare is not None:
                    self._contained(plugin, recorder.prepare, batch)
        for kind, group, batch in batches:
            self._record_type(kind, group, batch)
        involved = [self._ingest.recorders_of(kind, self._enabled) for kind, _ in groups]
        self.topics = tuple(sorted({plugin for recorders in involved for plugin, _ in recorders}))

    def _batch(self, kind: type[Signal], group: list[_Entry]) -> Batch:
        signals = self._ingest.enrich(kind, [entry.signal for entry in group])
        return Batch(
            signals, [entry.source for entry in group], self._connection, self.deltas, bus.publish, self._links,
            self._workflows, self._received_at,
        )  # fmt: skip

    def _record_type(self, kind: type[Signal], group: list[_Entry], batch: Batch) -> None:
        recorders = self._ingest.recorders_of(kind, self._enabled)
        if not _owned(recorders):
            _reject(group, FieldError("type", f"no enabled plugin records {tag_of(kind)!r}"))
            return
        plugin, owner = recorders[0]
        recorded = self._contained(plugin, owner.record, batch)
        if recorded is None:
            _reject(group, FieldError("type", f"the plugin {plugin} failed to record it"))
            return
        fresh = _settle(group, recorded)
        if not fresh:
            return
        rest = batch if len(fresh) == len(group) else _subset(batch, fresh)
        for plugin, recorder in recorders[1:]:
            self._contained(plugin, recorder.record, rest)

    def _contained(self, plugin: str, function: Any, batch: Batch) -> Recorded | None:
        """Run a recorder in a savepoint: its fault undoes its own writes only. An outage of the database goes up.

        The savepoint is written as SQL: SQLAlchemy's own object costs ten times as much, a dozen times a batch.
        """
        self._connection.exec_driver_sql(f"SAVEPOINT {SAVEPOINT}")
        deltas, self.deltas = self.deltas, Deltas()
        batch.measures = self.deltas
        try:
            recorded = function(batch)
        except Exception as fault:
            if explain(fault) is not None:
                raise  # SQLite has undone the whole transaction by itself, savepoints included
            self._connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
            self._connection.exec_driver_sql(f"RELEASE SAVEPOINT {SAVEPOINT}")
            self.deltas = deltas
            runtime().registry.guard.note(plugin, "record", fault)
            return None
        self._connection.exec_driver_sql(f"RELEASE SAVEPOINT {SAVEPOINT}")
        deltas.merge(self.deltas)
        self.deltas = deltas
        return recorded or Recorded()


def _inline_error(entry: _Entry) -> _Entry | None:
    """Make the error signal out of an execution's own report; its id follows from the execution's, so it comes once."""
    execution = entry.signal
    if not isinstance(execution, Execution) or execution.error is None:
        return None
    detail = execution.error
    error = Error(
        id=detail.id or f"{execution.id[:122]}:error",
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
    return _Entry(error, entry.source, Outcome(), entry.index, derived=True)


def _owned(recorders: Sequence[tuple[str, Recorder]]) -> bool:
    """Say whether somebody keeps the signals of this type, so that others may count them."""
    return bool(recorders) and recorders[0][1].owner


def _reject(group: Sequence[_Entry], error: FieldError) -> None:
    for entry in group:
        entry.outcome.rejected.append(Rejection(entry.index, entry.signal.id, [error]))


def _settle(group: Sequence[_Entry], recorded: Recorded) -> list[int]:
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
        batch.measures, batch.publish, batch.links, batch.workflows, batch.received_at,
    )  # fmt: skip
