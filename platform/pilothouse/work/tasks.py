"""The core's tasks about its own work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.contract.work import BeatEntry, Task
from pilothouse.runtime import runtime
from pilothouse.work import sweep


def purge_jobs(_payload: Mapping[str, Any]) -> None:
    """Delete jobs that ended long ago; opens its own, small transactions."""
    sweep.purge(runtime().settings["PILOTHOUSE_RETENTION_DAYS"])


TASKS = (Task("core.purge_jobs", purge_jobs, transaction=False),)
BEAT = (BeatEntry("core.purge_jobs", "core.purge_jobs", every_s=3600),)
