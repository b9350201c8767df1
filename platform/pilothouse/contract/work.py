"""What runs beside requests: tasks, their schedule, checks of health."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_TASK_S = 3_540  # below the time after which the broker hands a task out again (work.celery_app)


@dataclass(frozen=True, slots=True)
class Task:
    """Work for a Celery worker, `<plugin>.<verb>`. `run` gets the job's payload (ids and plain values) inside a unit of
    work: what it writes commits together with the job's end, so a killed worker leaves nothing half done.

    With `transaction=False` it runs outside of one (it calls the outside world) and opens its own units of work; it may
    then run twice, and must be idempotent. `limit_s` is the time after which it is ended.
    """

    name: str
    run: Callable[[Mapping[str, Any]], None]
    transaction: bool = True
    limit_s: int = 60


@dataclass(frozen=True, slots=True)
class BeatEntry:
    """Run a task every so many seconds; a tick is passed over while the last one is still waiting or running."""

    name: str
    task: str
    every_s: float


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A check for /readyz and `doctor`: `check` returns None when all is well, else a sentence; `remedy` tells the way
    out. `critical` checks make /readyz answer 503. `title` is what people read, made from the name if left out.
    """

    name: str
    check: Callable[[], str | None]
    remedy: str
    critical: bool = False
    title: str = ""
