"""Starting our own processes from one that has imported everything already.

A fork shares the memory of what was imported and built (about 100 MB), so four processes cost little more than one, and
are there at once: importing takes two seconds of processor time. The parent has one thread and no connection, so nothing
of it can be half done in the child. Elsewhere than on Linux a fresh interpreter is started instead.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import uuid_utils
from flask import Flask

from pilothouse.plugins.discovery import discover
from pilothouse.work import parent_death

PRELOADED = (
    "pilothouse.app", "pilothouse.web.server", "pilothouse.web.request_log", "pilothouse.work.scheduler",
    "pilothouse.work.worker",
    # what Celery imports by name only when it is used: two or three processes would each have their own
    "celery.app.amqp", "celery.app.task", "celery.app.events", "celery.app.routes", "celery.backends.base",
    "celery.apps.worker", "celery.worker.components", "celery.worker.consumer", "celery.concurrency.prefork",
    "celery.concurrency.asynpool", "kombu.transport.redis",
)  # fmt: skip
KEPT_DESCRIPTORS = 3  # stdin, stdout, stderr
OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)  # what a supervisor handles and its child does not
ARG_START, ARG_END = 47, 48  # fields of /proc/self/stat, counted from 0: proc(5)


def preload() -> None:
    """Import everything that the processes need, plugins included; a failing plugin is theirs to report."""
    if not can_fork():
        return
    gc.disable()  # what is imported stays: to look for what could go takes a fifth of the time
    try:
        for name in PRELOADED:
            importlib.import_module(name)
        discover()
    finally:
        gc.enable()
    share()


def share() -> None:
    """Let the children share the memory of what is there now: the collector's marks would copy every page of it."""
    gc.collect()
    gc.freeze()


def can_fork() -> bool:
    """Say whether a fork is safe here: on Linux, with one thread."""
    return sys.platform == "linux" and threading.active_count() == 1


def start(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    orphaned: signal.Signals,
    stdout: int | None = None,
    app: Flask | None = None,
) -> int:
    """Run `pilothouse <arguments>` in a process of its own group and return its id.

    `orphaned` is the signal that it gets when this process ends; `stdout` is a descriptor for what it prints. `app` is an
    application without connections that a fork uses as it is.
    """
    if not can_fork():
        return _spawn(arguments, environ, orphaned, stdout)
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _begin(arguments, environ, stdout)
        parent_death.signal_with_parent(orphaned, parent)
        from pilothouse.cli import main

        main(arguments, app=app)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        _end(code)
    raise AssertionError  # `_end` does not return


def set_title(title: str) -> None:
    """Let `ps` and `top` show the title in place of this process's command line, as far as there is room for it."""
    if sys.platform != "linux":
        return
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    start_at, end_at = (int(fields[index - 2]) for index in (ARG_START, ARG_END))  # the first two went with the ")"
    room = end_at - start_at
    if room > 0:
        ctypes.memmove(start_at, os.fsencode(title)[: room - 1].ljust(room, b"\0"), room)


def _spawn(
    arguments: Sequence[str], environ: Mapping[str, str], orphaned: signal.Signals, stdout: int | None
) -> int:
    parent = os.getpid()
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse", *arguments],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        start_new_session=True,
        preexec_fn=lambda: parent_death.signal_with_parent(orphaned, parent),  # noqa: PLW1509 - there is one thread
    )
    process.returncode = 0  # the caller collects it by its id
    return process.pid


def _begin(arguments: Sequence[str], environ: Mapping[str, str], stdout: int | None) -> None:
    """Let go of what is the parent's: its group, signals, descriptors (the lock on the data folder!) and variables."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in OURS:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    if stdout is not None:
        os.dup2(stdout, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.closerange(KEPT_DESCRIPTORS, 1024)
    os.environ.clear()
    os.environ.update(environ)
    uuid_utils.reseed_rng()  # else two children would make the same ids
    set_title(f"pilothouse {' '.join(arguments)}")


def _end(code: int) -> None:
    """End without unwinding into the parent's half of the program."""
    try:
        atexit._run_exitfuncs()  # noqa: SLF001 - what multiprocessing does for its forks
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
