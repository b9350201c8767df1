"""Ingest: signals in, counts out; decoded, scrubbed, recorded and committed before the answer.

Every source ends here: `/api/ingest`, the doors of other protocols and Pilothouse's own reports. Requests that arrive
together share one commit: whoever gets the lock records everything that waits (group commit), since a durable commit
costs about 3 ms on SQLite and a request alone would pay it by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from pilothouse import bus, clock
from pilothouse.contract.arrivals import Arrival, ArrivalSink, Refusal
from pilothouse.contract.recording import Source
from pilothouse.db import LOCK_WAIT_S, after_commit, db, explain, in_unit_of_work, lock_writers, unit_of_work
from pilothouse.errors import PilothouseError, StoreAway, TooManyRequests
from pilothouse.ingest_recording import Entry, Recorders, Recording, contained
from pilothouse.outcomes import Outcome, arrival_of
from pilothouse.plugins.registry import Registry
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.signals import Signal
from pilothouse.turned_away import TurnedAway

REFUSALS = frozenset({400, 413, 415, 422})  # of a whole request, for what is in it: neither outages nor limits
GATHER_S = 0.003  # what a commit costs: the longest that the first of a group waits for the others
CAREFUL_S = 60.0  # how long every plugin's code runs in a savepoint after some failed without one
TELL_WAIT_MS = 200  # for other writers, before those who were turned away are told of later
GROUP_LIMIT = 5_000  # signals that share one commit; more would keep the first caller waiting


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
        self._recorders = Recorders(registry)
        self.types = self._recorders.types
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
            job.outcome.add(outcome)
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
            Entry(signal, job.source, outcome, index)
            for job, outcome in zip(group, outcomes, strict=True)
            for index, signal in job.items
        ]
        enabled = self._recorders.enabled()
        with unit_of_work() as session:
            connection = session.connection()
            lock_writers(connection)
            recording = Recording(self._recorders, connection, enabled)
            recording.record(entries)
            recording.deltas.write(connection)
            arrivals = [arrival_of(job.source, job.outcome, outcome) for job, outcome in zip(group, outcomes, strict=True)]
            self._tell(connection, [*arrivals, *self._turned_away.take()])
            topics = (*recording.topics, *{plugin for plugin, _ in self._sinks})
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
