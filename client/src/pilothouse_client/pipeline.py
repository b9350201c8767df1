"""From an encoded signal to the server: the parts of one process, put together anew after each fork."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Callable

from pilothouse_client.buffer import Buffer
from pilothouse_client.delivery import Delivery
from pilothouse_client.options import Options, spool_folder
from pilothouse_client.shield import Notices, Tally
from pilothouse_client.spool import Spool

if TYPE_CHECKING:
    from pilothouse_client.commands import Commands
    from pilothouse_client.transport import Transport


class Pipeline:
    """Buffer, spool and delivery of one process, and the heartbeat of the executions that run in it."""

    def __init__(self, transport: Transport, options: Options, commands: Commands, notices: Notices) -> None:
        self._heartbeat = options["heartbeat"]
        self._commands = commands
        self._tallies = Tally(notices, "the buffer is full"), Tally(notices, "the spool is full")
        self._buffer = Buffer(options["buffer_signals"], self._tallies[0])
        self._spool = Spool(spool_folder(options), transport.url, options["spool_bytes"], self._tallies[1])
        self._delivery = Delivery(self._buffer, self._spool, transport, commands, notices)
        self._heard: dict[str, float] = {}

    def resume(self) -> None:
        """Start sending at once where an earlier process left signals; clear away what it left unfinished."""
        self._spool.clear()
        if self._spool.files():
            self._delivery.start(self._tick)

    def put(self, signal: bytes, execution_id: str | None) -> None:
        """Buffer a signal, which is also a sign of life of its execution."""
        self._buffer.put(signal)
        if execution_id is not None and execution_id in self._commands:
            self._heard[execution_id] = time.monotonic()
        self._delivery.start(self._tick)

    def listen(self) -> None:
        """Start asking for commands."""
        self._delivery.start(self._tick)

    def forget(self, execution_id: str) -> None:
        """Take note that an execution gives no more signs of life."""
        self._heard.pop(execution_id, None)

    def flush(self, timeout: float) -> bool:
        """Send all that waits; return whether everything reached the server."""
        self.resume()
        return self._delivery.flush(timeout)

    def stop(self, timeout: float) -> None:
        """Send what can be sent in time and spool the rest."""
        self._delivery.stop(timeout)
        for tally in self._tallies:
            tally.conclude()

    def _tick(self) -> float:
        """Report executions that have been silent, ask for commands; return the seconds until the next tick."""
        if not self._delivery.away:
            for execution in self._commands.running():
                if self._is_due(self._heard.get(execution.id, 0.0)):
                    execution.heartbeat()
            if self._commands.wanted and not self._buffer.waiting and self._is_due(self._delivery.sent_at):
                self._delivery.poll()
        return self._heartbeat / 4

    def _is_due(self, last: float) -> bool:
        return time.monotonic() - last >= self._heartbeat


def finish_in_child(close: Callable[[], None]) -> None:
    """Have `close` called at the end of a child of multiprocessing, which skips what `atexit` holds."""
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, close, exitpriority=10)
