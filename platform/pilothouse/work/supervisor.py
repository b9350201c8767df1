"""The supervisor behind `pilothouse up`: starts the processes in order, restarts those that die, leaves no orphan.

Each process leads a group of its own, so that Ctrl-C reaches the supervisor alone and a whole group can be ended. On
Linux each is told to end when the supervisor does, however that happens. It works as process 1 of a container too: it
reaps every child, also those that it inherits.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from flask import Flask

from pilothouse import logs
from pilothouse.work import forking, parent_death

LOOK_S = 0.05  # while something starts or stops
REST_S = 1.0  # else; a signal or a child's death wakes it at once
BACK_OFF_S = (0.2, 0.5, 1, 2, 5, 10, 30)
STEADY_S = 60.0  # a process that lived so long starts again at once the next time
STOP_S = 6.0  # for web, worker and scheduler; `docker stop` kills after 10 s in all
LAST_STOP_S = 3.0  # for the broker, which writes its file to disk


@dataclass(slots=True)
class Service:
    """A process to be kept running: `command` is a program with its arguments, or `ours` those of `pilothouse`.

    `before` runs once, ahead of its first start; `ready` says whether the next service may start, `when_ready` runs as
    soon as that is so. `stop` is the signal that ends it in order, `orphaned` the one that it gets when the supervisor is
    gone. A `last` service is stopped after all others.
    """

    name: str
    command: Sequence[str] = ()
    ours: Sequence[str] = ()
    before: Callable[[], None] = lambda: None
    ready: Callable[[], bool] = lambda: True
    when_ready: Callable[[], None] = lambda: None
    stop: signal.Signals = signal.SIGTERM
    orphaned: signal.Signals = signal.SIGTERM
    last: bool = False
    pid: int | None = None
    started_at: float = 0.0
    failures: int = 0
    start_at: float = 0.0

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.pid is not None


@dataclass(slots=True)
class Supervisor:
    """Keeps the services running until it is told to stop. Use it from the main thread; it starts no other.

    `app` returns the application that our own processes share, None where each builds its own.
    """

    services: Sequence[Service]
    environ: Mapping[str, str]
    app: Callable[[], Flask | None] = lambda: None
    stopping: bool = False
    _wakeup: socket.socket | None = field(default=None, repr=False)

    def run(self) -> None:
        """Start everything, keep it running, and return when SIGTERM, SIGINT or SIGHUP has ended it."""
        self._listen()
        try:
            if self._start_in_order():
                while not self.stopping:
                    self._reap()
                    self._start_due()
                    self._wait(self._rest())
        finally:
            self._stop_all()

    def _listen(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._wakeup = ours
        self._theirs_kept_open(theirs)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # being there, it writes to the wake-up socket

    def _theirs_kept_open(self, theirs: socket.socket) -> None:
        signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _start_in_order(self) -> bool:
        for service in self.services:
            service.before()
            if self.stopping:
                return False
            self._start(service)
            while not (service.running and service.ready()):
                self._wait(LOOK_S)
                self._reap()
                self._start_due(only=service)
                if self.stopping:
                    return False
            service.when_ready()
        return True

    def _start(self, service: Service) -> None:
        service.started_at = time.monotonic()
        if service.ours:
            service.pid = forking.start(service.ours, self.environ, orphaned=service.orphaned, app=self.app())
        else:
            service.pid = self._execute(service)

    def _execute(self, service: Service) -> int:
        parent = os.getpid()
        process = subprocess.Popen(
            list(service.command),
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: parent_death.signal_with_parent(service.orphaned, parent),  # noqa: PLW1509 - one thread
        )
        process.returncode = 0  # it is collected here, by its id; `Popen` need not look for it
        return process.pid

    def _start_due(self, only: Service | None = None) -> None:
        for service in self.services:
            due = not service.running and service.started_at and time.monotonic() >= service.start_at
            if due and (only is None or service is only or service.last):
                logs.get("up").warning("restarted", service=service.name)
                self._start(service)

    def _reap(self) -> None:
        """Collect every child that ended, and plan the restart of those that are ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            service = next((s for s in self.services if s.pid == pid), None)
            if service is not None:
                self._ended(service, os.waitstatus_to_exitcode(status))

    def _ended(self, service: Service, code: int) -> None:
        if service.pid is not None:
            _signal_group(service.pid, signal.SIGKILL)  # what is left of its group would be in the next one's way
        service.pid = None
        if self.stopping:
            return
        lived = time.monotonic() - service.started_at
        service.failures = 0 if lived >= STEADY_S else service.failures + 1
        pause = BACK_OFF_S[min(service.failures, len(BACK_OFF_S) - 1)]
        service.start_at = time.monotonic() + pause
        logs.get("up").warning("ended", service=service.name, code=code, restart_in_s=pause)

    def _rest(self) -> float:
        return LOOK_S if any(not service.running for service in self.services) else REST_S

    def _wait(self, seconds: float) -> None:
        assert self._wakeup is not None  # noqa: S101 - `run` listens before it waits
        readable, _, _ = select.select([self._wakeup], [], [], seconds)
        if readable:
            try:
                self._wakeup.recv(4096)
            except BlockingIOError:
                return

    def _stop_all(self) -> None:
        self.stopping = True
        self._stop([service for service in self.services if not service.last], STOP_S)
        self._stop([service for service in self.services if service.last], LAST_STOP_S)
        os.close(signal.set_wakeup_fd(-1))

    def _stop(self, services: Sequence[Service], seconds: float) -> None:
        for service in services:
            if service.pid is not None:
                _signal(service.pid, service.stop)
        deadline = time.monotonic() + seconds
        while any(service.running for service in services) and time.monotonic() < deadline:
            self._wait(LOOK_S)
            self._reap()
        for service in services:
            if service.pid is not None:
                logs.get("up").warning("killed", service=service.name, waited_s=seconds)
                _signal_group(service.pid, signal.SIGKILL)
                os.waitpid(service.pid, 0)
                service.pid = None


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says the second for a group of zombies
        return
