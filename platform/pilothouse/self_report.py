"""Pilothouse's reports of itself: its requests, tasks, starts and failures are signals like everybody's.

They go through ingest, but wait in memory first and are stored by a thread of their own every second, so that no request
pays for being reported. What cannot be stored is dropped: a report about an outage must not make it worse.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from flask import Flask

from pilothouse import clock, logs
from pilothouse.contract.recording import Source
from pilothouse.errors import PilothouseError
from pilothouse.faults import describe, message_of, where
from pilothouse.runtime import runtime
from pilothouse.signals import Error, ErrorDetail, Execution, Frame, Signal, Status, Step, raw

MOST_WAITING = 5_000  # signals in memory; beyond, the oldest are dropped
PAUSE_S = 1.0
MESSAGE = 4_000  # characters of an exception's message
OUTERMOST, INNERMOST = 50, 150  # frames of an exception that are kept; a bottomless recursion has thousands between them
SOURCE = Source(client="pilothouse")
ENVIRONMENT = "pilothouse"  # what all self-reports carry, so that they can be told from the user's own work


class Reporter:
    """Collects signals of one process and stores them from a daemon thread, which starts with the first one."""

    def __init__(self, app: Flask) -> None:
        """Take the application whose ingest stores the signals."""
        self._app = app
        self._waiting: deque[Signal] = deque(maxlen=MOST_WAITING)
        self._starting = threading.Lock()
        self._storing = threading.Lock()
        self._closed = threading.Event()
        self._pid = 0

    def add(self, *signals: Signal) -> None:
        """Report signals; returns at once."""
        self._waiting.extend(signals)
        if self._pid != os.getpid() and not self._closed.is_set():
            with self._starting:
                if self._pid != os.getpid():
                    work = (weakref.ref(self), self._closed)
                    threading.Thread(target=_store_on, args=work, name="self-report", daemon=True).start()
                    self._pid = os.getpid()

    def flush(self, *more: Signal) -> int:
        """Store what waits, and `more`, now; returns how many signals were taken."""
        with self._storing:
            signals = list(more)
            while self._waiting and len(signals) < MOST_WAITING:
                signals.append(self._waiting.popleft())
            if signals and not self._closed.is_set():
                self._store(signals)
        return len(signals)

    def close(self) -> None:
        """Store nothing any more; returns once nothing is under way, so that the database may be let go of."""
        self._closed.set()
        with self._storing:
            self._waiting.clear()

    def _store(self, signals: list[Signal]) -> None:
        with self._app.app_context():
            try:
                runtime().ingest.submit(enumerate(signals), SOURCE)
            except PilothouseError as fault:
                logs.get("self_report").warning("dropped", signals=len(signals), reason=fault.detail)


def _store_on(reporter: weakref.ref[Reporter], closed: threading.Event) -> None:
    """Store what a reporter collects until it is closed, or gone together with its application."""
    while not closed.wait(PAUSE_S):
        found = reporter()
        if found is None:
            return
        try:
            found.flush()
        except Exception as fault:  # noqa: BLE001 - the thread must live; the fault is logged
            logs.get("self_report").error("failed", error=describe(fault), where=where(fault))
        del found


def detail(fault: BaseException) -> ErrorDetail:
    """Make the error of an execution out of an exception; no local variables."""
    kind, message = type(fault).__qualname__[:255], message_of(fault)[:MESSAGE]
    return ErrorDetail(error_type=kind, message=message, frames=list(_frames(fault)), handled=False)


def failure(fault: BaseException, **fields: Any) -> Error:
    """Make the error signal of an exception, with its frames from the outermost to the innermost; no local variables."""
    return Error(
        id=clock.new_id(),
        error_type=type(fault).__qualname__[:255],
        message=message_of(fault)[:MESSAGE],
        at=clock.now(),
        frames=list(_frames(fault)),
        environment=ENVIRONMENT,
        **fields,
    )


def run(workflow: str, status: Status, started_at: int, **fields: Any) -> Execution:
    """Make the execution signal of something that Pilothouse did itself and that has ended now."""
    fields.setdefault("id", clock.new_id())
    fields.setdefault("finished_at", clock.now())
    if "attributes" in fields:
        fields["attributes"] = raw(fields["attributes"])
    return Execution(workflow=workflow, status=status, started_at=started_at, environment=ENVIRONMENT, **fields)


def step(execution_id: str, name: str, started_at: int, status: Status = "succeeded") -> Step:
    """Make the signal of a step that has ended now."""
    return Step(
        id=clock.new_id(), execution_id=execution_id, name=name, kind="task", status=status, started_at=started_at,
        finished_at=clock.now(),
    )  # fmt: skip


def _frames(fault: BaseException) -> Iterable[Frame]:
    frames = []
    trace = fault.__traceback__
    while trace is not None:
        frames.append(_frame(trace))
        trace = trace.tb_next
    return frames if len(frames) <= OUTERMOST + INNERMOST else [*frames[:OUTERMOST], *frames[-INNERMOST:]]


def _frame(trace: TracebackType) -> Frame:
    code = trace.tb_frame.f_code
    module = str(trace.tb_frame.f_globals.get("__name__", ""))
    return Frame(
        file=code.co_filename, function=code.co_qualname, module=module, line=trace.tb_lineno,
        in_app=module.startswith("pilothouse"),
    )  # fmt: skip
