"""Executions and their steps as context managers; start and end are reported as they happen."""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Callable, Protocol

from pilothouse_client.clock import Watch
from pilothouse_client.commands import Cancelled
from pilothouse_client.frames import error_fields, type_name
from pilothouse_client.plain import joined, text

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from pilothouse_client.fields import ErrorFields, StepFields, TokenFields
    from pilothouse_client.shield import Shield

FINAL = frozenset({"succeeded", "failed", "cancelled", "timed_out"})

_execution: ContextVar[Execution | None] = ContextVar("pilothouse_execution", default=None)
_step: ContextVar[Step | None] = ContextVar("pilothouse_step", default=None)


def current_execution() -> Execution | None:
    """Return the innermost execution that this thread or asyncio task is in."""
    return _execution.get()


def current_step() -> Step | None:
    """Return the innermost step that this thread or asyncio task is in."""
    return _step.get()


class Reporter(Protocol):
    """What executions and steps need of the client."""

    def report(self, kind: str, fields: dict[str, Any]) -> str:
        """Buffer a signal and return its id."""

    def known(self, kind: str, given: Any) -> dict[str, Any]:
        """Return the fields that signals of this kind have, with an id."""

    def shield(self, doing: str) -> Shield:
        """Return a guard that keeps faults of reporting away from the program."""

    def execution_started(self, execution: Execution) -> None:
        """Take note of a running execution."""

    def execution_finished(self, execution: Execution) -> None:
        """Take note of the end of an execution."""

    def report_error(self, fault: BaseException | None, fields: dict[str, Any]) -> str | None:
        """Buffer an error signal and return its id; None where there is no exception."""

    def report_tokens(self, fields: dict[str, Any]) -> str:
        """Buffer a token usage and return its id."""


class Span(ABC):
    """What executions and steps share: a start, an end, an output, and the error that ended them.

    Use it as `with` or `async with`; `start()` and `finish()` serve where a block does not fit. Each is done once.
    """

    kind = "span"

    def __init__(self, reporter: Reporter, fields: dict[str, Any]) -> None:
        self._reporter = reporter
        self._fields = fields
        self._output: Any = None
        self._watch = Watch()
        self._state = "new"
        self.id = text(fields["id"])

    @property
    def status(self) -> str:
        """`new`, `running`, then one of the final statuses."""
        return self._state

    def set_output(self, output: Any) -> None:
        """Keep what came out, to be reported with the end; values that JSON cannot hold go as their `repr`."""
        self._output = output

    def set_attributes(self, **attributes: Any) -> None:
        """Add attributes, to be reported with the end."""
        self._fields["attributes"] = joined(self._fields.get("attributes"), attributes)

    def start(self) -> Self:
        """Report the start, now."""
        if self._state == "new":
            self._state = "running"
            with self._reporter.shield(f"starting {self.kind}"):
                self._watch = Watch()
                self._fields.setdefault("started_at", self._watch.started_at)
                self._reporter.report(self.kind, {**self._fields, "status": "running"})
        return self

    def finish(self, status: str = "succeeded", error: BaseException | None = None) -> None:
        """Report the end with its status and the exception that led to it; a second end changes nothing."""
        if self._state != "running":
            return
        self._state = status if status in FINAL else "failed"
        with self._reporter.shield(f"finishing {self.kind}"):
            self._reporter.report(self.kind, {**self._identity(), **self._end(error)})

    def fail(self, error: BaseException) -> None:
        """Report the end by an exception: as cancelled where it is a cancellation or Ctrl-C, else as failed."""
        self.finish("cancelled" if _is_cancellation(error) else "failed", error)

    def adopt(self) -> Self:
        """Speak for a run that was started elsewhere: its end can be reported here."""
        self._state = "running"
        return self

    def abandon(self) -> None:
        """Report no end: another process goes on with this run."""
        self._state = "abandoned"

    def __enter__(self) -> Self:
        """Start, and become the current one."""
        self._come_in()
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report the end, and let an exception go on unchanged."""
        self._go_out()
        self._leave(fault)

    async def __aenter__(self) -> Self:
        """Start; nothing waits for the network."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report the end; nothing waits for the network."""
        self.__exit__(kind, fault, trace)

    def _identity(self) -> dict[str, Any]:
        """Return the fields without which the server takes no report, and those that may have changed."""
        names = ("id", "workflow", "execution_id", "name", "kind", "parent_id", "started_at", "attributes")
        return {name: self._fields.get(name) for name in names}

    @abstractmethod
    def _come_in(self) -> None:
        """Become the current one of this context."""

    @abstractmethod
    def _go_out(self) -> None:
        """Make what was current before current again."""

    @abstractmethod
    def _end(self, error: BaseException | None) -> dict[str, Any]:
        """Return what is reported of the end."""

    def _closing(self) -> dict[str, Any]:
        return {"status": self._state, "finished_at": self._watch.finished_at(), "output": self._output}

    def _leave(self, fault: BaseException | None) -> None:
        if fault is None or (isinstance(fault, SystemExit) and not fault.code):
            self.finish()
        else:
            self.fail(fault)


class Execution(Span):
    """One run of a workflow. `on_cancel` and `on_rerun` are called in another thread when the server says so."""

    kind = "execution"

    def __init__(
        self,
        reporter: Reporter,
        fields: dict[str, Any],
        *,
        on_cancel: Callable[[], object] | None = None,
        on_rerun: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(reporter, fields)
        self.on_cancel = on_cancel
        self.on_rerun = on_rerun
        self._cancelled = threading.Event()
        self._captured: tuple[BaseException, str] | None = None
        self._outer: tuple[Execution | None, Step | None] = (None, None)

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return text(self._fields["workflow"])

    @property
    def cancelled(self) -> bool:
        """Whether the console asked to cancel this execution."""
        return self._cancelled.is_set()

    def cancel(self) -> bool:
        """Set `cancelled`; return False where it was set before."""
        before = self._cancelled.is_set()
        self._cancelled.set()
        return not before

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` where the console asked for it; call it where the program can stop."""
        if self._cancelled.is_set():
            message = f"execution {self.id} of {self.workflow!r} was cancelled on the console"
            raise Cancelled(message)

    def wait_cancelled(self, timeout: float) -> bool:
        """Sleep up to `timeout` seconds, shorter where a cancel comes; return whether it came."""
        return self._cancelled.wait(timeout)

    def step(self, name: str, **fields: Unpack[StepFields]) -> Step:
        """Return a step; within another step of this execution it becomes that one's child."""
        outer = _step.get()
        parent = outer.id if outer is not None and outer.execution is self else None
        return _new_step(self, name, {"parent_id": parent, **fields})

    def record_tokens(
        self, *, model: str, prompt_tokens: int, completion_tokens: int, **fields: Unpack[TokenFields]
    ) -> str | None:
        """Report what one model call used; return its id."""
        counts = {"model": model, "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        with self._reporter.shield("recording tokens"):
            return self._reporter.report_tokens({**self._links("workflow", "agent", "user"), **counts, **fields})
        return None

    def capture_exception(self, exc: BaseException | None = None, **fields: Unpack[ErrorFields]) -> str | None:
        """Report an exception of this execution, by default the one being handled; return the error's id.

        Where the same exception then ends the execution, it is still one error.
        """
        links = self._links("workflow", "environment", "release", "user")
        with self._reporter.shield("capturing an exception"):
            error_id = self._reporter.report_error(exc, {"handled": True, **links, **fields})
            if exc is not None and error_id is not None:
                self._captured = (exc, error_id)
            return error_id
        return None

    def heartbeat(self) -> None:
        """Report that this execution still runs."""
        if self._state == "running":
            self._reporter.report(self.kind, {**self._identity(), "status": "running", "attributes": None})

    def start(self) -> Self:
        """Report the start, now, and keep the execution alive until `finish()`."""
        if self._state == "new":
            self._reporter.execution_started(self)
        return super().start()

    def finish(self, status: str = "succeeded", error: BaseException | None = None) -> None:
        """Report the end with its status and the exception that led to it; a second end changes nothing."""
        super().finish(status, error)
        self._reporter.execution_finished(self)

    def _links(self, *names: str) -> dict[str, Any]:
        return {"execution_id": self.id, **{name: self._fields.get(name) for name in names}}

    def _end(self, error: BaseException | None) -> dict[str, Any]:
        closing = self._closing()
        if error is not None and self._state != "cancelled":
            closing["error"] = {"id": self._error_id(error), "handled": False, **error_fields(error)}
        self._captured = None
        return closing

    def _error_id(self, error: BaseException) -> str:
        """Return the id under which this exception was reported before, else a new one."""
        if self._captured is not None and self._captured[0] is error:
            return self._captured[1]
        return str(self._reporter.known("error", {})["id"])

    def _come_in(self) -> None:
        self._outer = (_execution.get(), _step.get())
        _execution.set(self)
        _step.set(None)

    def _go_out(self) -> None:
        # Set, not reset: a generator may be closed in another context, where a token is refused.
        if _execution.get() is self:
            _execution.set(self._outer[0])
            _step.set(self._outer[1])


class Step(Span):
    """One step of an execution."""

    kind = "step"

    def __init__(self, reporter: Reporter, fields: dict[str, Any], execution: Execution) -> None:
        super().__init__(reporter, fields)
        self.execution = execution
        self._outer: Step | None = None

    def step(self, name: str, **fields: Unpack[StepFields]) -> Step:
        """Return a step below this one, from whichever thread it is called."""
        return _new_step(self.execution, name, {"parent_id": self.id, **fields})

    def record_tokens(
        self, *, model: str, prompt_tokens: int, completion_tokens: int, **fields: Unpack[TokenFields]
    ) -> str | None:
        """Report what one model call used; return its id."""
        return self.execution.record_tokens(
            model=model, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, **fields
        )

    def _end(self, error: BaseException | None) -> dict[str, Any]:
        """Return the end; steps have no `error` field of their own, so it is told in their attributes."""
        if error is not None:
            told = {"error_type": type_name(error), "error_message": text(error)}
            return {**self._closing(), "attributes": joined(self._fields.get("attributes"), told)}
        return self._closing()

    def _come_in(self) -> None:
        self._outer = _step.get()
        _step.set(self)

    def _go_out(self) -> None:
        if _step.get() is self:
            _step.set(self._outer)


def _new_step(execution: Execution, name: str, fields: dict[str, Any]) -> Step:
    reporter = execution._reporter  # noqa: SLF001 - a step reports through its execution's client
    known = reporter.known("step", fields)
    return Step(reporter, {"execution_id": execution.id, "name": text(name), "kind": "other", **known}, execution)


def _is_cancellation(fault: BaseException) -> bool:
    # Looked up, not imported: asyncio costs programs without it a third of their start-up time.
    asyncio = sys.modules.get("asyncio.exceptions")
    kinds = (Cancelled, KeyboardInterrupt, GeneratorExit, *([asyncio.CancelledError] if asyncio else []))
    return isinstance(fault, kinds)
