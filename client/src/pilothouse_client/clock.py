"""Times as the server wants them, and a watch whose end never lies before its start."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone


def now() -> str:
    """Return the present time as RFC 3339 in UTC with microseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


class Watch:
    """Measures one run: the wall clock gives the start, the monotonic clock the length.

    A wall clock that is set back during a run would else make it end before it began.
    """

    def __init__(self) -> None:
        self._started = datetime.now(timezone.utc)
        self._mark = time.monotonic()

    @property
    def started_at(self) -> str:
        """The start as RFC 3339."""
        return self._started.isoformat(timespec="microseconds")

    def finished_at(self) -> str:
        """Return the present time as start plus what has passed, as RFC 3339."""
        passed = timedelta(seconds=time.monotonic() - self._mark)
        return (self._started + passed).isoformat(timespec="microseconds")
