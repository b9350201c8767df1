"""Waking the workers: job ids go to Celery from a background thread, so that no request ever waits for the broker.

A wake-up that is lost (broker away, frozen, emptied; process killed) costs a few seconds: the sweep finds the row.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from pilothouse import logs

SEND_TIMEOUT_S = 1.0  # longest that one command to the broker may take; only the background thread waits for it
PAUSE_S = 2.0  # after a failure nothing is tried for so long: a broker that is away is not hammered
QUEUE_LIMIT = 10_000  # wake-ups in memory; what is above waits for the sweep
UNKNOWN = "pilothouse.unknown"  # runs the jobs of tasks that no plugin has any more; Celery drops a name that it does not know
FAULTS = (OperationalError, OSError)  # kombu wraps the client library's own errors into the first


class Sender:
    """Puts job ids on the broker's queue, with short time-outs and without kombu's own retries. Not thread-safe."""

    def __init__(self, celery: Celery) -> None:
        """Take the Celery application whose queue is filled; nothing is connected yet."""
        self._celery = celery
        self._connection: Connection | None = None
        self._producer: Any = None

    def send(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Send (job id, task name) pairs. Raises OSError or OperationalError where the broker does not answer."""
        try:
            producer = self._ready()
            for job_id, task in jobs:
                name = task if task in self._celery.tasks else UNKNOWN
                self._celery.send_task(name, args=(job_id,), producer=producer, retry=False, ignore_result=True)
        except FAULTS:
            self.close()
            raise
        except Exception as fault:  # the client library's errors have no common base with kombu's
            self.close()
            raise OperationalError(str(fault)) from fault

    def length(self) -> int:
        """Return how many messages wait on the queue. Raises as `send` does."""
        try:
            return int(self._ready().channel.client.llen(self._celery.conf.task_default_queue))
        except Exception as fault:  # the same
            self.close()
            raise OperationalError(str(fault)) from fault

    def close(self) -> None:
        """Drop the connection; the next `send` makes a new one."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()

    def _ready(self) -> Any:
        if self._producer is None:
            options = dict(self._celery.conf.broker_transport_options)
            options |= {"socket_timeout": SEND_TIMEOUT_S, "socket_connect_timeout": SEND_TIMEOUT_S}
            self._connection = Connection(self._celery.conf.broker_url, transport_options=options)
            self._producer = self._celery.amqp.Producer(self._connection.channel(), auto_declare=False)
        return self._producer


class Dispatcher:
    """Sends wake-ups from one daemon thread a process, which starts with the first of them (also after a fork)."""

    def __init__(self, celery: Celery | None) -> None:
        """Take the Celery application; None where there is no broker, then every wake-up is left to the sweep."""
        self._celery = celery
        self.after_fork()

    def after_fork(self) -> None:
        """Start afresh: the parent's thread is not here, and its locks may have been held at the moment of the fork."""
        self._jobs: deque[tuple[str, str]] = deque(maxlen=QUEUE_LIMIT)
        self._awake = threading.Event()
        self._start = threading.Lock()
        self._stopped = threading.Event()
        self._pid = 0

    def wake(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Hand over (job id, task name) pairs; returns at once."""
        if self._celery is None:
            return
        self._jobs.extend(jobs)
        if self._pid != os.getpid():
            self._start_thread()
        self._awake.set()

    def close(self) -> None:
        """End the thread; what is not sent yet is left to the sweep."""
        self._stopped.set()
        self._awake.set()

    def _start_thread(self) -> None:
        with self._start:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._run, name="dispatcher", daemon=True).start()

    def _run(self) -> None:
        assert self._celery is not None  # noqa: S101 - `wake` starts no thread without it
        sender = Sender(self._celery)
        while not self._stopped.is_set():
            self._awake.wait()
            self._awake.clear()
            try:
                sender.send(self._taken())
            except FAULTS as fault:
                self._jobs.clear()  # the sweep sends them; keeping them here would only send them twice
                logs.get("dispatcher").warning("broker_away", error=type(fault).__name__)
                self._stopped.wait(PAUSE_S)
        sender.close()

    def _taken(self) -> Iterable[tuple[str, str]]:
        while self._jobs:
            yield self._jobs.popleft()
