"""The settings of a client beside address and token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict


class Options(TypedDict, total=False):
    """All may be left out; `DEFAULTS` says what holds then."""

    environment: str  # for executions and errors that name none
    release: str  # the same
    heartbeat: float  # seconds of silence after which a running execution is reported again
    timeout: float  # seconds that a connection may hang
    exit_timeout: float  # seconds that the end of the process may take
    buffer_signals: int  # signals in memory; above, the newest are dropped
    spool: str | Path  # folder; else $PILOTHOUSE_SPOOL, else `pilothouse` in the user's state folder
    spool_bytes: int  # bytes on disk for each server; above, the oldest are dropped


DEFAULTS: Options = {
    # A cancel is handed over with the next report, so this is also how long a person waits for one.
    "heartbeat": 10.0,
    "timeout": 10.0,
    "exit_timeout": 2.0,
    # About 10 MB of ordinary signals: half a minute of a program that reports 300 a second.
    "buffer_signals": 10_000,
    "spool_bytes": 64 * 1024 * 1024,
}


def spool_folder(options: Options) -> Path:
    """Return where the spool lies: the option, `$PILOTHOUSE_SPOOL`, or the user's state folder."""
    named = options.get("spool") or os.environ.get("PILOTHOUSE_SPOOL")
    if named:
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "pilothouse"
