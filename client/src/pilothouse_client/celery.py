"""Celery: each task is reported as an execution, from its publication to its end.

`install(app)` connects to Celery's signals; nothing in the tasks changes. The task's id is the execution's id, so that
publisher, worker and retries speak of one execution. Celery contains what its signal handlers raise, and these raise
nothing. This module imports Celery only when `install` is called: the package needs the standard library alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pilothouse_client.client import Client
from pilothouse_client.executions import Execution, current_execution

if TYPE_CHECKING:
    from pilothouse_client.commands import Command

# Celery's own exceptions for a task that took too long: billiard's, told by name as billiard is not ours to import.
_TIMED_OUT = frozenset({"SoftTimeLimitExceeded", "TimeLimitExceeded"})
_HANDLED = (
    *("before_task_publish", "task_prerun", "task_retry", "task_failure", "task_postrun", "task_revoked"),
    *("worker_ready", "worker_process_shutdown"),
)
_ENDS = {"SUCCESS": "succeeded", "FAILURE": "failed", "REVOKED": "cancelled", "REJECTED": "cancelled"}


def install(app: Any, client: Client | None = None, *, capture_args: bool = False) -> Client:
    """Report each task of `app` as an execution and return the client; a second call for one app changes nothing.

    `client` is made from the environment when left out. `capture_args` also reports each task's arguments as the
    execution's input: off, because arguments may hold what should not leave the program.
    """
    before: Client | None = getattr(app, "pilothouse_client", None)
    if before is not None:
        return before
    client = client if client is not None else Client()
    app.pilothouse_client = client
    _Tasks(app, client, capture_args=capture_args).connect()
    return client


class _Tasks:
    """The handlers, and the executions of the tasks that run in this process."""

    def __init__(self, app: Any, client: Client, *, capture_args: bool) -> None:
        self._app = app
        self._client = client
        self._capture_args = capture_args
        self._running: dict[str, Execution] = {}

    def connect(self) -> None:
        """Connect each handler to its signal; strongly, as nothing else refers to them."""
        signals = importlib.import_module("celery.signals")
        for name in _HANDLED:
            getattr(signals, name).connect(getattr(self, f"_{name}"), weak=False)

    def _before_task_publish(self, sender: Any = None, headers: Any = None, **_: Any) -> None:
        with self._client.shield("reporting a queued task"):
            # Messages of protocol 1 have no headers of this kind, and a retry is the same execution, already known.
            if headers and headers.get("id") and not headers.get("retries"):
                outer = current_execution()
                parent = headers.get("parent_id") or (outer.id if outer else None)
                self._report(headers["id"], sender, "queued", parent_id=parent)

    def _task_prerun(self, task_id: str, task: Any, args: Any = (), kwargs: Any = None, **_: Any) -> None:
        if not self._is_ours(task):
            return
        with self._client.shield("reporting a task's start"):
            fields: dict[str, Any] = {"id": task_id, "trigger": "celery", "attributes": _attributes(task.request)}
            fields["parent_id"] = task.request.parent_id
            if self._capture_args:
                fields["input"] = {"args": args, "kwargs": kwargs}
            self._running[task_id] = self._client.execution(task.name, **fields).__enter__()

    def _task_retry(self, sender: Any, request: Any, reason: Any = None, **_: Any) -> None:
        """Let the execution go on: Celery sends the task again under the same id."""
        if not self._is_ours(sender):
            return
        with self._client.shield("reporting a task's retry"):
            told = {**_attributes(request), "celery.retry_reason": str(reason)}
            self._report(request.id, sender.name, "running", attributes=told)

    def _task_failure(self, sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
        """End the execution as failed; in the main process of a worker where its child was killed."""
        if not self._is_ours(sender):
            return
        with self._client.shield("reporting a task's failure"):
            run = self._running.get(task_id) or self._adopted(sender.name, task_id)
            if type(exception).__name__ in _TIMED_OUT:
                run.finish("timed_out", exception)
            else:
                run.fail(exception)

    def _task_postrun(self, task_id: str, state: str | None = None, retval: Any = None, **_: Any) -> None:
        with self._client.shield("reporting a task's end"):
            run = self._running.pop(task_id, None)
            if run is None:
                return
            if state == "RETRY":
                run.abandon()
            if self._capture_args and state == "SUCCESS":
                run.set_output(retval)
            run.finish(_ENDS.get(state or "", "succeeded"))
            run.__exit__(None, None, None)

    def _task_revoked(self, sender: Any, request: Any, **_: Any) -> None:
        if not self._is_ours(sender):
            return
        with self._client.shield("reporting a revoked task"):
            self._adopted(sender.name, request.id).finish("cancelled")

    def _worker_ready(self, **_: Any) -> None:
        """Ask for commands in a worker's main process; not before, as a thread and a fork go ill together."""
        self._client.on_command(self._on_command)

    def _worker_process_shutdown(self, **_: Any) -> None:
        """Send what waits: a worker's child ends without what `atexit` holds."""
        self._client.close()

    def _on_command(self, command: Command) -> None:
        """Keep a task that was cancelled before it began from beginning; one that runs asks `raise_if_cancelled`."""
        if command.command == "cancel" and command.execution_id not in self._running:
            self._app.control.revoke(command.execution_id)

    def _adopted(self, name: str, task_id: str) -> Execution:
        return self._client.execution(name, id=task_id, trigger="celery").adopt()

    def _is_ours(self, task: Any) -> bool:
        """Return whether a task belongs to this app: Celery's signals are those of all apps of the process."""
        return getattr(task, "app", None) is self._app

    def _report(self, task_id: str, name: Any, status: str, **fields: Any) -> None:
        known = self._client.known("execution", {"id": task_id, "trigger": "celery", **fields})
        self._client.report("execution", {**known, "workflow": name, "status": status})


def _attributes(request: Any) -> dict[str, Any]:
    told = {"celery.retries": request.retries, "celery.hostname": request.hostname}
    return {name: value for name, value in told.items() if value}
