"""Keeps faults of reporting away from the program, and says them in the log, at most once a minute each."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

LOGGER_NAME = "pilothouse_client"
# A fault that lasts, such as a server that is away, must not fill the program's log.
QUIET_SECONDS = 60.0


class Notices:
    """Log lines of the client: one of each kind a minute, with the count of those left out."""

    def __init__(self, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._quiet = quiet_seconds
        self._logger = logging.getLogger(LOGGER_NAME)
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def warn(self, kind: str, text: str, *, exc_info: BaseException | None = None) -> None:
        """Log `text` as a warning, unless a line of this `kind` was logged within the quiet time."""
        present = time.monotonic()
        if present - self._last.get(kind, -self._quiet) < self._quiet:
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return
        self._last[kind] = present
        held_back = self._held_back.pop(kind, 0)
        more = f" ({held_back} more like this were not logged)" if held_back else ""
        self._logger.warning("%s%s", text, more, exc_info=exc_info)


class Tally:
    """Counts signals that were lost, and says so at most once a minute without losing the count in between."""

    def __init__(self, notices: Notices, reason: str) -> None:
        self._notices = notices
        self._reason = reason
        self.total = 0

    def add(self, count: int) -> None:
        """Count `count` more lost signals."""
        if count > 0:
            self.total += count
            self._notices.warn(self._reason, f"Pilothouse: {self.total} signals dropped so far: {self._reason}")

    def conclude(self) -> None:
        """Say the final count, where there is one."""
        if self.total:
            self._notices.warn(f"total: {self._reason}", f"Pilothouse: {self.total} signals dropped: {self._reason}")


class Shield:
    """`with Shield(notices, "starting a step"):` logs what goes wrong inside and lets the program go on.

    Only ordinary exceptions are held: KeyboardInterrupt, SystemExit and cancellation pass through.
    """

    def __init__(self, notices: Notices, doing: str) -> None:
        self._notices = notices
        self._doing = doing

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(fault, Exception):
            return False
        self._notices.warn(self._doing, f"Pilothouse: {self._doing} went wrong; the program goes on", exc_info=fault)
        return True
