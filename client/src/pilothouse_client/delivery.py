"""The background thread: takes batches from the buffer, sends them, spools what cannot be sent, sends it later."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Callable

from pilothouse_client.shield import Notices, Shield
from pilothouse_client.transport import Answer, BackOff, Fate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pilothouse_client.buffer import Buffer
    from pilothouse_client.commands import Commands
    from pilothouse_client.spool import Spool
    from pilothouse_client.transport import Transport

# A first signal goes at once; what follows within this time goes together.
FLUSH_SECONDS = 0.5
# How often an idle thread looks for files that another process left behind, and for executions to keep alive.
LOOK_SECONDS = 5.0
# A fault of our own must not make the thread run hot.
FAULT_SECONDS = 1.0
# What goes back to the buffer for want of a disk waits this long for the server.
NO_DISK_SECONDS = 1.0


class Delivery:
    """Owns the thread. It starts with the first signal, and again after a fork.

    While the server is away, batches go straight to the spool; one of them is tried again after each back-off.
    """

    def __init__(
        self, buffer: Buffer, spool: Spool, transport: Transport, commands: Commands, notices: Notices
    ) -> None:
        self._buffer = buffer
        self._spool = spool
        self._transport = transport
        self._commands = commands
        self._notices = notices
        self._back_off = BackOff()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.sent_at = 0.0
        self._look_at = 0.0
        self._hurried = False

    @property
    def away(self) -> bool:
        """Whether the server could not be reached, or did not want to be, and is not to be tried yet."""
        return self._back_off.remaining > 0

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, tick: Callable[[], float]) -> None:
        """Start the thread where it is not running; `tick` is called in each turn and says when it wants the next."""
        if self.running or self._stopping:
            return
        # Asked again under the lock: two first signals at once would else start two threads that share one batch.
        with self._starting:
            if not self.running:
                thread = threading.Thread(target=self._run, args=(tick,), name="pilothouse-delivery", daemon=True)
                thread.start()
                self._thread = thread

    def poll(self) -> None:
        """Send a report without signals, to be handed the commands that wait."""
        self._judge(self._transport.send([]))

    def flush(self, timeout: float) -> bool:
        """Send all that waits; return whether within `timeout` seconds everything reached the server."""
        deadline = time.monotonic() + timeout
        self._back_off.hurry()
        self._look_at = 0.0
        with self._buffer.changed:
            self._hurried = True
            self._buffer.changed.notify_all()
            while self.running and not self._settled() and time.monotonic() < deadline:
                self._buffer.changed.wait(min(0.05, max(0.0, deadline - time.monotonic())))
            self._hurried = False
        return not self._buffer.pending and not self._spool.files()

    def stop(self, timeout: float) -> None:
        """Send what can be sent within `timeout` seconds, spool the rest, and end the thread."""
        if self.running:
            self.flush(timeout)
        self._stopping = True
        with self._buffer.changed:
            self._buffer.changed.notify_all()
        rest = self._buffer.empty()
        if rest and not self._spool.put(rest):
            self._notices.warn("lost at the end", f"Pilothouse: {len(rest)} signals could be neither sent nor spooled")

    def _settled(self) -> bool:
        return not self._buffer.pending and (self.away or not self._spool.files())

    def _run(self, tick: Callable[[], float]) -> None:
        longest = 0.0
        while not self._stopping:
            self._wait(longest)
            longest = FAULT_SECONDS
            with Shield(self._notices, "delivering"):
                self._turn()
                longest = tick()

    def _turn(self) -> None:
        """Send a batch, and one file of the spool: neither keeps the other from being sent."""
        if self._buffer.waiting and not self._stopping:
            self._send_batch()
        if not self.away and time.monotonic() >= self._look_at and not self._stopping:
            self._send_spooled()

    def _wait(self, longest: float) -> None:
        """Wait until there is something to do: a full batch, one that waited long enough, or a look at the spool."""
        with self._buffer.changed:
            until = time.monotonic() + longest
            while not (self._stopping or self._hurried or self._buffer.batch_is_full):
                left = min(until, self._next_turn()) - time.monotonic()
                if left <= 0:
                    return
                self._buffer.changed.wait(left)

    def _next_turn(self) -> float:
        look = max(self._look_at, time.monotonic() + self._back_off.remaining)
        return min(look, self.sent_at + FLUSH_SECONDS) if self._buffer.waiting else look

    def _send_batch(self) -> None:
        batch = self._buffer.take()
        self.sent_at = time.monotonic()
        rest = batch if self.away else self._send(batch)
        if not rest:
            self._buffer.done()
        elif self._spool.put(rest):
            self._look_at = 0.0
            self._buffer.done()
        else:
            folder = self._spool.folder
            self._notices.warn("no spool", f"Pilothouse: {folder} cannot be written; signals stay in memory")
            self._buffer.give_back()
            time.sleep(min(NO_DISK_SECONDS, self._back_off.remaining))

    def _send_spooled(self) -> None:
        with self._spool.claim() as claimed:
            if claimed is None:
                self._look_at = time.monotonic() + LOOK_SECONDS
                return
            path, signals = claimed
            rest = self._send(signals)
            if not rest or (len(rest) < len(signals) and self._spool.put(rest)):
                self._spool.remove(path)
                self._wake()

    def _wake(self) -> None:
        with self._buffer.changed:
            self._buffer.changed.notify_all()

    def _send(self, batch: list[bytes]) -> list[bytes]:
        """Send a batch, in halves where it is too large; return what must be tried again later."""
        answer = self._transport.send(batch)
        if answer.fate is Fate.TOO_LARGE and len(batch) > 1:
            middle = len(batch) // 2
            rest = self._send(batch[:middle])
            return rest + batch[middle:] if rest else self._send(batch[middle:])
        return [] if self._judge(answer, len(batch)) else batch

    def _judge(self, answer: Answer, count: int = 0) -> bool:
        """Act on an answer; return whether its batch is settled, be it taken or refused for good."""
        self.sent_at = time.monotonic()
        if answer.fate is Fate.LATER:
            self._back_off.failed(answer.retry_after)
            self._notices.warn("away", f"Pilothouse: {answer.reason}; signals are spooled in {self._spool.folder}")
            return False
        self._back_off.succeeded()
        if answer.fate is not Fate.TAKEN:
            self._notices.warn(answer.reason, f"Pilothouse: {count} signals dropped: {answer.reason}")
        self._name_rejected(answer.body.get("rejected") or ())
        self._commands.hand_out(answer.body)
        return True

    def _name_rejected(self, rejected: Iterable[object]) -> None:
        for item in rejected:
            self._notices.warn(f"rejected {_faults(item)}", f"Pilothouse: the server rejected a signal: {item}")


def _faults(item: object) -> object:
    """Return what is the same in all rejections of one kind, so that each kind is logged once a minute."""
    return item.get("errors") if isinstance(item, dict) else item
