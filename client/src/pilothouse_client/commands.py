"""What the server asks of a program: to cancel an execution, or to run it again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from pilothouse_client.shield import Notices, Shield

if TYPE_CHECKING:
    from pilothouse_client.executions import Execution

# Executions that have ended and can still be run again; the oldest are forgotten.
REMEMBERED = 1_000


class Cancelled(Exception):  # noqa: N818 - a fact, not an error, as asyncio's CancelledError
    """The execution was cancelled on the console; leaving the `with` block by it ends the execution as cancelled."""


class Command(NamedTuple):
    """One request of the server: `command` is "cancel" or "rerun"."""

    execution_id: str
    command: str


class Commands:
    """Knows the executions of this process and hands each command to those it concerns.

    Callbacks run in a thread of their own: a slow one delays no report, and may itself wait for `flush()`.
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._listeners: list[Callable[[Command], object]] = []
        self._running: dict[str, Execution] = {}
        self._rerunnable: OrderedDict[str, Execution] = OrderedDict()

    @property
    def wanted(self) -> bool:
        """Whether commands may concern this process though nothing runs in it: then the client asks for them."""
        return bool(self._listeners or self._rerunnable)

    def __contains__(self, execution_id: object) -> bool:
        return execution_id in self._running

    def listen(self, listener: Callable[[Command], object]) -> None:
        """Call `listener` with every command that this process is handed."""
        self._listeners.append(listener)

    def running(self) -> list[Execution]:
        """Return the executions that have started and not ended."""
        return list(self._running.values())

    def started(self, execution: Execution) -> None:
        """Take note of an execution that runs from now on."""
        self._running[execution.id] = execution

    def finished(self, execution: Execution) -> None:
        """Take note that an execution has ended; keep it in mind where it says how to run it again."""
        self._running.pop(execution.id, None)
        if execution.on_rerun is not None:
            self._rerunnable[execution.id] = execution
            while len(self._rerunnable) > REMEMBERED:
                self._rerunnable.popitem(last=False)

    def forget(self) -> None:
        """Drop all executions: after a fork they are the parent's."""
        self._running.clear()
        self._rerunnable.clear()

    def hand_out(self, answer: dict[str, Any]) -> None:
        """Act on the `commands` of an answer to a report; malformed ones are passed over."""
        for item in answer.get("commands") or ():
            if isinstance(item, dict) and {"execution_id", "command"} <= item.keys():
                self._hand_out(Command(str(item["execution_id"]), str(item["command"])))

    def _hand_out(self, command: Command) -> None:
        calls = [*(partial(listener, command) for listener in self._listeners), *self._own_calls(command)]
        if calls:
            threading.Thread(target=self._call, args=(calls,), name="pilothouse-command", daemon=True).start()

    def _own_calls(self, command: Command) -> list[Callable[[], object]]:
        """Return the callbacks of the execution itself; a cancel that is repeated calls them once."""
        running = self._running.get(command.execution_id)
        if command.command == "cancel" and running and running.cancel() and running.on_cancel:
            return [running.on_cancel]
        known = running or self._rerunnable.get(command.execution_id)
        return [known.on_rerun] if command.command == "rerun" and known and known.on_rerun else []

    def _call(self, calls: list[Callable[[], object]]) -> None:
        for call in calls:
            with Shield(self._notices, "a callback for a command"):
                call()
