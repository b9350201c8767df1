"""Ingest: signals in, counts out; decoded, scrubbed, recorded and committed before the answer.

Every source ends here: `/api/ingest`, the doors of other protocols and Pilothouse's own reports. Requests that arrive
together share one commit: whoever gets the lock records everything that waits (group commit), since a durable commit
costs about 3 ms on SQLite and a request alone would pay it by itself.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection

from pilothouse import bus, clock
from pilothouse.contract.arrivals import Arrival, ArrivalSink, Refusal
from pilothouse.contract.recording import Batch, Enricher, Link, Recorded, Recorder, Source
from pilothouse.db import LOCK_WAIT_S, after_commit, db, explain, in_unit_of_work, lock_writers, unit_of_work
from pilothouse.errors import FieldError, PilothouseError, StoreAway, TooManyRequests
from pilothouse.measures import Deltas
from pilothouse.plugins.registry import Registry
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.signals import CORE_SIGNALS, Error, Execution, Signal, tag_of
from pilothouse.turned_away import TurnedAway

SAVEPOINT = "pilothouse_recorder"
T = TypeVar("T")
R = TypeVar("R")

LONGEST_ID = 128
REFUSALS = frozenset({400, 413, 415, 422})  # of a whole request, for what is in it: neither outages nor limits
_PLACES = re.compile(r"\[\d+\]")
MOST_SPLITS = 32  # halvings of failing groups in one transaction: enough for two or three signals that break a recorder
GATHER_S = 0.003  # what a commit costs: the longest that the first of a group waits for the others
CAREFUL_S = 60.0  # how long every plugin's code runs in a savepoint after some failed without one
TELL_WAIT_MS = 200  # for other writers, before those who were turned away are told of later
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
        self._sinks: list[tuple[str, ArrivalSink]] = registry.all("arrival_sinks")
        self._turned_away = TurnedAway()
        self._waiting: list[_Job] = []
        self._expected = 1  # how many requests came together the last time
        self._queue_lock = threading.Lock()
        self._together = threading.Condition(self._queue_lock)
        self._commit_lock = threading.Lock()
        self._careful_until = 0.0

    def submit(self, items: Iterable[tuple[int, Signal]], source: Source, outcome: Outcome | None = None) -> Outcome:
        """Store signals and return once they are committed.

        `items` pairs each signal with its place in the request; `outcome` carries what was rejected or stored before.
        Inside of a unit of work they are stored in it and committed with it. Raises StoreAway or StorageFull when the
        database cannot take them; nothing is stored then.
        """
        job = _Job(list(items), source, outcome or Outcome())
        if not job.items and (job.outcome == Outcome() or not self._sinks):
            return job.outcome
        if in_unit_of_work():
            self._record_group([job])  # it commits with the caller's own work, so nobody else's signals may ride along
        else:
            db.session().rollback()  # whoever records this, what is read afterwards must not be from before it
            with self._queue_lock:
                self._waiting.append(job)
                if len(self._waiting) >= self._expected:
                    self._together.notify()
            with self._commit_lock:
                while not job.done:
                    self._work_off(self._take())
        if job.fault is not None:
            raise job.fault
        return job.outcome

    def _work_off(self, group: list[_Job]) -> None:
        try:
            self._record_group(group)
        finally:
            for job in group:
                if not job.done:  # the thread is being ended: the others must not wait for it
                    job.fault, job.done = StoreAway("The recording was broken off. Send it again.", retry_after=1), True

    def _take(self) -> list[_Job]:
        """Return the next group. Clients that were answered together come back together: a moment is given to them."""
        with self._queue_lock:
            self._together.wait_for(lambda: len(self._waiting) >= self._expected, GATHER_S)
            self._expected = max(len(self._waiting), 1)
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
        if in_unit_of_work() or time.monotonic() < self._careful_until:
            return self._record_once(group)
        try:
            with bus.without_savepoints():
                return self._record_once(group)
        except bus.Stumbled:  # nothing was stored: once more, so that only what fails is left out
            self._careful_until = time.monotonic() + CAREFUL_S
            return self._record_once(group)

    def _record_once(self, group: list[_Job]) -> list[Outcome]:
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
            arrivals = [_arrival(job, outcome) for job, outcome in zip(group, outcomes, strict=True)]
            self._tell(connection, [*arrivals, *self._turned_away.take()])
            topics = (*transaction.topics, *{plugin for plugin, _ in self._sinks})
            after_commit(lambda: runtime().changes.bump(*topics) if topics else None)
        return outcomes

    @contextmanager
    def watched(self, source: Source) -> Iterator[None]:
        """Tell the sinks of a request that the block refuses as a whole, because of what is in it; the refusal goes on."""
        try:
            yield
        except PilothouseError as fault:
            if fault.status in REFUSALS and self._sinks and not in_unit_of_work():
                refusal = Refusal("", fault.detail or fault.title)
                self._tell_alone([Arrival(source, clock.now(), rejected=1, refusals=(refusal,))], LOCK_WAIT_S * 1_000)
            elif fault.status == TooManyRequests.status:
                self.turn_away(source, fault)
            raise

    def turn_away(self, source: Source, fault: PilothouseError) -> None:
        """Count a request that was not let in; the sinks hear of it within a second, or with what is stored next."""
        if self._sinks and self._turned_away.add(source, f"{fault.status}: {fault.detail or fault.title}"):
            self._tell_alone(self._turned_away.take(), TELL_WAIT_MS)

    def _tell_alone(self, arrivals: list[Arrival], wait_ms: int) -> None:
        if in_unit_of_work():
            return
        with suppress(PilothouseError), unit_of_work(wait_ms=wait_ms) as session:  # nobody is to hear of our outage instead
            lock_writers(connection := session.connection())
            self._tell(connection, arrivals)
            after_commit(lambda: runtime().changes.bump(*{plugin for plugin, _ in self._sinks}))

    def _tell(self, connection: Connection, arrivals: list[Arrival]) -> None:
        for plugin, sink in self._sinks:
            if is_enabled(plugin):
                contained(connection, plugin, sink.name, partial(sink.take, connection), arrivals)

    def recorders_of(self, kind: type[Signal], enabled: set[str]) -> list[tuple[str, Recorder]]:
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
        self._workflow_names: dict[str, str] = {}
        self._received_at = clock.now()
        self._splits = MOST_SPLITS
        self.deltas = Deltas()
        self.topics: tuple[str, ...] = ()

    def record(self, entries: list[_Entry]) -> None:
        """Record a group type by type in the fixed order, after every owner has prepared."""
        entries = [*entries, *(e for entry in entries if (e := _inline_error(entry)) is not None)]
        entries.sort(key=lambda entry: self._ingest.place(type(entry.signal)))
        groups = [(kind, list(group)) for kind, group in groupby(entries, key=lambda entry: type(entry.signal))]
        batches = [(kind, group, self._batch(kind, group)) for kind, group in groups]
        for kind, _, batch in batches:
            recorders = self._ingest.recorders_of(kind, self._enabled)
            for plugin, recorder in recorders if _owned(recorders) else ():
                if recorder.prepare is not None:
                    self._run(plugin, f"prepare {tag_of(kind)}", recorder.prepare, batch)
        for kind, group, batch in batches:
            self._record_type(kind, group, batch)
        involved = [self._ingest.recorders_of(kind, self._enabled) for kind, _ in groups]
        self.topics = tuple(sorted({plugin for recorders in involved for plugin, _ in recorders}))

    def _batch(self, kind: type[Signal], group: list[_Entry]) -> Batch:
        signals = [entry.signal for entry in group]
        what = f"enrich {tag_of(kind)}"
        for plugin, enricher in self._ingest.enrichers_of(kind):
            signals = contained(self._connection, plugin, what, partial(_enriched, enricher), signals) or signals
        return Batch(
            signals, [entry.source for entry in group], self._connection, self.deltas, bus.publish, self._links,
            self._workflows, self._received_at, self._workflow_names,
        )  # fmt: skip

    def _record_type(self, kind: type[Signal], group: list[_Entry], batch: Batch) -> None:
        recorders = self._ingest.recorders_of(kind, self._enabled)
        if not _owned(recorders):
            _reject(group, FieldError("type", f"no enabled plugin records {tag_of(kind)!r}"))
            return
        self._record_part(recorders, group, batch)

    def _record_part(self, recorders: Sequence[tuple[str, Recorder]], group: list[_Entry], batch: Batch) -> None:
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
        recorded = contained(self._connection, plugin, what, lambda given: function(given) or Recorded(), batch)
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


def _enriched(enricher: Enricher, signals: list[Any]) -> list[Any]:
    """Return the signals with fields filled in. Raises ValueError where others come back."""
    found = list(enricher.enrich(signals))
    if [(type(signal), signal.id) for signal in found] != [(type(signal), signal.id) for signal in signals]:
        raise ValueError("an enricher must return the same signals in the same order")
    return found


def _inline_error(entry: _Entry) -> _Entry | None:
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
    return _Entry(error, entry.source, Outcome(), entry.index, derived=True)


def _error_id(execution_id: str) -> str:
    """Return the id of an execution's own error; ids are as long as they may be, so a long one is told by its hash."""
    name = f"{execution_id}:error"
    return name if len(name) <= LONGEST_ID else f"{hashlib.sha256(execution_id.encode()).hexdigest()}:error"


def _owned(recorders: Sequence[tuple[str, Recorder]]) -> bool:
    """Say whether somebody keeps the signals of this type, so that others may count them."""
    return bool(recorders) and recorders[0][1].owner


def _arrival(job: _Job, outcome: Outcome) -> Arrival:
    rejections = [*job.outcome.rejected, *outcome.rejected]
    refusals = [
        Refusal(_PLACES.sub("[]", error.path), error.message, rejection.id)
        for rejection in rejections
        for error in rejection.errors
    ]
    accepted, duplicates = job.outcome.accepted + outcome.accepted, job.outcome.duplicates + outcome.duplicates
    return Arrival(job.source, clock.now(), accepted, duplicates, len(rejections), refusals)


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
        batch.measures, batch.publish, batch.links, batch.workflows, batch.received_at, batch.workflow_names,
    )  # fmt: skip
