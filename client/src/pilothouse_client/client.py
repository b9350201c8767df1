"""The client: what a program holds in its hands."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any, Callable, cast

from pilothouse_client.clock import now
from pilothouse_client.commands import Command, Commands
from pilothouse_client.executions import Execution, current_execution
from pilothouse_client.fields import encode, unknown
from pilothouse_client.frames import error_fields
from pilothouse_client.ids import IdSource
from pilothouse_client.options import DEFAULTS, Options
from pilothouse_client.pipeline import Pipeline, finish_in_child
from pilothouse_client.plain import joined, text
from pilothouse_client.shield import Notices, Shield
from pilothouse_client.transport import Transport

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from pilothouse_client.fields import ErrorFields, EventFields, ExecutionFields, TokenFields


class Client:
    """Reports to one Pilothouse. Make one a process, early; all its methods may be called from any thread.

    `url` and `token` come from `$PILOTHOUSE_URL` and `$PILOTHOUSE_TOKEN` when left out. Without a usable address and
    token the client says so once in the log and reports nothing: a program runs the same with and without Pilothouse.
    """

    def __init__(self, url: str | None = None, token: str | None = None, **options: Unpack[Options]) -> None:
        self._options = _completed(options)
        self._notices = Notices()
        self._ids = IdSource()
        self._commands = Commands(self._notices)
        self._pipeline: Pipeline | None = None
        self._closed = False
        self._owner = 0
        with self.shield("setting up"):
            self._transport = self._connect(url, token)
            self._open()
            atexit.register(self.close)
            _reopen_after_fork(self)

    @property
    def enabled(self) -> bool:
        """Whether reports go anywhere."""
        return self._pipeline is not None and not self._closed

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
        known = {"workflow": text(workflow), **self.known("execution", given)}
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
            return self.report("event", {"at": now(), "name": text(name), **self.known("event", fields)})
        return None

    def record_tokens(
        self, *, model: str, prompt_tokens: int, completion_tokens: int, **fields: Unpack[TokenFields]
    ) -> str | None:
        """Report what one model call used, linked to the current execution; return its id."""
        run = current_execution()
        if run is not None:
            return run.record_tokens(
                model=model, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, **fields
            )
        counts = {"model": model, "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        with self.shield("recording tokens"):
            return self.report_tokens({**counts, **fields})
        return None

    def on_command(self, listener: Callable[[Command], object]) -> None:
        """Call `listener(command)`, in a thread of its own, for each command that the server hands to this process."""
        self._commands.listen(listener)
        with self.shield("listening for commands"):
            if self._pipeline is not None and self.enabled:
                self._pipeline.listen()

    def flush(self, timeout: float = 10.0) -> bool:
        """Send all that waits; return whether within `timeout` seconds everything reached the server."""
        with self.shield("flushing"):
            return self._pipeline is None or self._pipeline.flush(timeout)
        return False

    def close(self, timeout: float | None = None) -> None:
        """Send what can be sent within `timeout` seconds (`exit_timeout`), spool the rest, report nothing more."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        with self.shield("closing"):
            if self._pipeline is not None:
                self._pipeline.stop(self._options["exit_timeout"] if timeout is None else timeout)

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
        if self._pipeline is not None and not self._closed:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                finish_in_child(self.close)
            execution_id = fields["id"] if kind == "execution" else fields.get("execution_id")
            self._pipeline.put(encode({**fields, "type": kind}), execution_id)
        return str(fields["id"])

    def report_error(self, fault: BaseException | None, fields: dict[str, Any]) -> str | None:
        """Buffer an error signal; None where there is no exception to report."""
        fault = fault if fault is not None else sys.exc_info()[1]
        if fault is None:
            return None
        told = error_fields(fault)
        attributes = {**(told["attributes"] or {}), **joined(fields.get("attributes"), {})}
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
        if self._pipeline is not None:
            self._pipeline.forget(execution.id)

    def _origin(self) -> dict[str, Any]:
        return {"environment": self._options.get("environment"), "release": self._options.get("release")}

    def _connect(self, url: str | None, token: str | None) -> Transport | None:
        """Return the way to the server; None, and a line in the log, where address or token is missing or unusable."""
        url, token = url or os.environ.get("PILOTHOUSE_URL"), token or os.environ.get("PILOTHOUSE_TOKEN")
        missing = [name for name, given in (("url", url), ("token", token)) if not given]
        if not url or not token:
            where = " and ".join(f"{name} (or $PILOTHOUSE_{name.upper()})" for name in missing)
            self._notices.warn("disabled", f"Pilothouse: nothing is reported, as Client() was given no {where}")
            return None
        try:
            return Transport(url, token, self._options["timeout"])
        except ValueError as fault:
            self._notices.warn("disabled", f"Pilothouse: nothing is reported: {fault}")
            return None

    def _open(self) -> None:
        """Put the parts together: at the start, and in the child after a fork, where locks and threads are stale."""
        self._ids = IdSource()
        self._commands.forget()
        if self._transport is not None:
            self._pipeline = Pipeline(self._transport, self._options, self._commands, self._notices)
            self._pipeline.resume()

    def _reopen(self) -> None:
        if not self._closed:
            self._open()


def _completed(options: Options) -> Options:
    """Return the options with the defaults for those that were left out or given as None."""
    given = {name: value for name, value in options.items() if value is not None}
    return cast("Options", {**DEFAULTS, **given})


def _reopen_after_fork(client: Client) -> None:
    """Give a forked child its own parts; what waits in the parent's buffer stays the parent's to send."""
    # Registered callbacks are never removed: a weak reference lets a closed client go.
    reference = weakref.ref(client)

    def reopen() -> None:
        alive = reference()
        if alive is not None:
            with alive.shield("reopening after a fork"):
                alive._reopen()  # noqa: SLF001 - the client's own helper

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reopen)
