"""Dying with one's parent: on Linux the kernel sends a signal to a process whose parent ends, however it ends.

The signal belongs to the parent's THREAD that forked (prctl(2), PR_SET_PDEATHSIG), so processes are started from main
threads. macOS has nothing like it; there stale processes are found by their pid files at the next start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def signal_with_parent(number: int, parent: int | None = None) -> None:
    """Ask for the signal when the parent ends; end at once where it did already (`parent` is its process id)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def kill_with_parent(parent: int | None) -> None:
    """End this process at once when its parent ends: what it was running is taken back by the sweep."""
    signal_with_parent(signal.SIGKILL, parent)
