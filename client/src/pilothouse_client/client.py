"""The client: what a program holds in its hands."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, TypedDict

from pilothouse_client.buffer import Buffer
from pilothouse_client.clock import now
from pilothouse_client.commands import Command, Commands
from pilothouse_client.delivery import LOOK_SECONDS, Delivery
from pilothouse_client.executions import Execution, current_execution
from pilothouse_client.fields import encode, unknown
from pilothouse_client.frames import error_fields
from pilothouse_client.ids import IdSource
from pilothouse_client.shield import Notices, Shield, Tally
from pilothouse_client.spool import Spool, default_folder
from pilothouse_client.transport import Transport

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from pilothouse_client.fields import ErrorFields, EventFields, ExecutionFields, TokenFields


class Options(TypedDict, total=False):
    """Settings of a client beside address and token; all may be left out."""

    environment: str  # for executions and errors that name none
    release: str  # the same
    heartbeat: float  # seconds of silence after which a running execution is reported again; 10
    timeout: float  # seconds that one request may hang; 10
    exit_timeout: float  # seconds that the end of the process may take; 2
    buffer_signals: int  # signals in memory, the newest are dropped above; 10,000
    spool: str | os.PathLike[str]  # folder, else $PILOTHOUSE_SPOOL, else the user's state folder
    spool_bytes: int  # bytes on disk for each server, the oldest are dropped above; 64 MiB
    capture_args: bool  # of Celery tasks, as the execution's input; off


DEFAULTS: Options = {
    "heartbeat": 10.0,
    "timeout": 10.0,
    "exit_timeout": 2.0,
    "buffer_signals": 10_000,
    "spool_bytes": 64 * 1024 * 1024,
}


class Client:
    """Reports to one Pilothouse. Make one a process, early; all its methods may be called from any thread.

    `url` and `token` come from `$PILOTHOUSE_URL` and `$PILOTHOUSE_TOKEN` when left out. Without a usable address and
    token the client says so once in the log and reports nothing: a program runs the same with and without Pilothouse.
    """

    def __init__(self, url: str | None = None, token: str | None = None, **options: Unpack[Options]) -> None:
        self.options: Options = {**DEFAULTS, **options}
        self._notices = Notices()
        self._ids = IdSource()
        self._commands = Commands(self._notices)
        self._heard: dict[str, float] = {}
        self._closed = False
        self._delivery: Delivery | None = None
        with self.shield("setting up"):
            self._transport = self._connect(url, token)
            self._open()
            atexit.register(self.close)
            _restart_after_fork(self)

    @property
    def enabled(self) -> bool:
        """Whether reports go anywhere."""
        return self._delivery is not None and not self._closed

    def execution(
        self,
        workflow: str,
        *,
        on_cancel: Callable[[], object] | None = None,
        on_rerun: Callable[[], object] | None = None,
        **fields: Unpack[ExecutionFields],
    ) -> Execution:
        """Return an execution of `workflow`, to be used as `with client.execution(...) as run:`.

        Within another execution it becomes that one's child.
        """
        outer = current_execution()
        given = {"parent_id": outer.id if outer else None, **self._origin(), **fields}
        known = {"workflow": workflow, **self.known("execution", given)}
        return Execution(self, known, on_cancel=on_cancel, on_rerun=on_rerun)

    def capture_exception(self, exc: BaseException | None = None, **fields: Unpack[ErrorFields]) -> str | None:
        """Report an exception, by default the one being handled, linked to the current execution; return its id."""
        run = current_execution()
        fault = exc if exc is not None else sys.exc_info()[1]
        if run is not None:
            return run.capture_exception(fault, **fields)
        with self.shield("capturing an exception"):
            return self.report_error(fault, {"handled": True, **self._origin(), **fields})
        return None

    def track(self, name: str, **fields: Unpack[EventFields]) -> str | None:
        """Report that a person or component did something; return the event's id."""
        with self.shield("tracking an event"):
            return self.report("event", {"at": now(), "name": name, **self.known("event", fields)})
        return None

    def record_tokens(
        self, *, model: str, prompt_tokens: int, completion_tokens: int, **fields: Unpack[TokenFields]
    ) -> str | None:
        """Report what one model call used, linked to the current execution; return its id."""
        counts = {"model": model, "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        run = current_execution()
        with self.shield("recording tokens"):
            return run.record_tokens(**counts, **fields) if run else self.report_tokens({**counts, **fields})  # type: ignore[arg-type]
        return None

    def on_command(self, listener: Callable[[Command], object]) -> None:
        """Call `listener(command)`, in a thread of its own, for each command that the server hands to this process."""
        self._commands.listen(listener)
        self._start()

    def flush(self, timeout: float = 10.0) -> bool:
        """Send all that waits; return whether within `timeout` seconds everything reached the server."""
        with self.shield("flushing"):
            return self._delivery is None or self._delivery.flush(timeout)
        return False

    def close(self, timeout: float | None = None) -> None:
        """Send what can be sent within `timeout` seconds (`exit_timeout`), spool the rest, report nothing more."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        with self.shield("closing"):
            if self._delivery is not None:
                self._delivery.stop(self.options["exit_timeout"] if timeout is None else timeout)

    def __enter__(self) -> Self:
        """Nothing to do: a client works from its first signal on."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # What executions, steps and the Celery integration report through.

    def shield(self, doing: str) -> Shield:
        """Return a guard that keeps faults of reporting away from the program."""
        return Shield(self._notices, doing)

    def known(self, kind: str, given: Any) -> dict[str, Any]:
        """Return those of the `given` fields that signals of this kind have, with an id; name the others in the log."""
        strangers = unknown(kind, given)
        if strangers:
            self._notices.warn(f"{kind} {strangers}", f"Pilothouse: {kind} has no {', '.join(strangers)}; left out")
        fields = {name: value for name, value in given.items() if value is not None and name not in strangers}
        return {"id": self._ids.new(), **fields}

    def report(self, kind: str, fields: dict[str, Any]) -> str:
        """Encode a signal, buffer it for the background thread and return its id."""
        if self.enabled:
            self._buffer.put(encode({"type": kind, **fields}))
            self._delivery_of(fields, kind)
        return str(fields["id"])

    def report_error(self, fault: BaseException | None, fields: dict[str, Any]) -> str | None:
        """Buffer an error signal; None where there is no exception to report."""
        fault = fault if fault is not None else sys.exc_info()[1]
        if fault is None:
            return None
        told = error_fields(fault)
        attributes = {**(told["attributes"] or {}), **(fields.get("attributes") or {})}
        known = {"at": now(), **self.known("error", fields)}
        return self.report("error", {**told, **known, "attributes": attributes or None})

    def report_tokens(self, fields: dict[str, Any]) -> str:
        """Buffer a token usage."""
        counts = {name: fields.pop(name) for name in ("model", "prompt_tokens", "completion_tokens")}
        return self.report("token_usage", {"at": now(), **counts, **self.known("token_usage", fields)})

    def execution_started(self, execution: Execution) -> None:
        """Keep an execution alive from now on."""
        self._commands.started(execution)

    def execution_finished(self, execution: Execution) -> None:
        """Keep it alive no longer."""
        self._commands.finished(execution)
        self._heard.pop(execution.id, None)
