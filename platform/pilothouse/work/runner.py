"""Running one job: claim it, run its task, write down how it ended.

For tasks with a transaction the job's end commits together with what the task wrote: a worker that is killed in between
leaves neither. The start was committed before, so a task that kills its worker is counted too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from celery.exceptions import SoftTimeLimitExceeded
from flask import Flask
from sqlalchemy import select

from pilothouse import clock, logs, self_report
from pilothouse.db import db, explain, unit_of_work
from pilothouse.errors import StorageFull, StoreAway
from pilothouse.faults import describe, where
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.signals import Status
from pilothouse.work import claims
from pilothouse.work.claims import Claim, ClaimLostError, Lease
from pilothouse.work.models import SENT, WAITING, Job

if TYPE_CHECKING:
    from pilothouse.contract.work import Task

Outcome = Literal["passed", "done", "failed", "dead", "postponed", "lost"]

Settled = tuple[Outcome, str | None, Exception | None]  # how it ended, in words, and what it raised

RARE_S = 600  # seconds between two runs of a scheduled task from which on each is worth a line
OUTAGE_PAUSE_MS = 5 * clock.SECOND
SWITCHED_OFF_PAUSE_MS = clock.MINUTE  # how soon a plugin's work goes on after it was switched on again


def run(app: Flask, job_id: str, worker: str) -> Outcome:
    """Run a job as `worker` in a fresh application context; `passed` where somebody else has it or it is not due.

    Never raises for what the task does. Raises StoreAway where the database is away: the sweep brings the job back.
    """
    with app.app_context():
        held = claims.claim(job_id, worker)
        if held is None:
            return "passed"
        begun = time.monotonic()
        outcome, error, fault = _settle(app, held)
        if outcome != "done" or not held.scheduled:  # a tick that went well is no news: there is one every few seconds
            _report(held, outcome, error, round((time.monotonic() - begun) * 1000))
        _report_run(held, outcome, fault)
        return outcome


def _report(held: Claim, outcome: Outcome, error: str | None, spent_ms: int) -> None:
    log = logs.get("work")
    tell = log.info if outcome == "done" else log.warning
    facts = {"task": held.task, "job_id": held.job_id, "outcome": outcome, "start": held.starts, "error": error}
    tell("task", **facts, duration_ms=spent_ms)


def drain(app: Flask, *, worker: str = "drain", limit: int = 1_000) -> int:
    """Run all due jobs here and now, also those that they make, and return how many ran (tests and `demo`)."""
    for count in range(limit):
        with app.app_context():
            due = select(Job.id).where(Job.state.in_((WAITING, SENT)), Job.due_at <= clock.now())
            job_id = db.session.execute(due.order_by(Job.due_at, Job.id).limit(1)).scalar()
        if job_id is None:
            return count
        run(app, job_id, worker)
    return limit


def _report_run(held: Claim, outcome: Outcome, fault: Exception | None) -> None:
    """Report the run as an execution of Pilothouse's own: each that failed; of those that went well only the rare ones.

    What runs every few seconds, or once for each thing that people's programs do, would bury those programs' own runs.
    """
    reporter = runtime().reporter
    quiet = outcome == "done" and held.task not in _rare()
    if reporter is None or quiet or outcome not in {"done", "failed", "dead"}:
        return
    fields = {"id": f"{held.job_id}.{held.starts}", "trigger": "pilothouse", "attributes": {"start": held.starts}}
    status: Status = "succeeded" if outcome == "done" else "failed"
    error = self_report.detail(fault) if fault is not None else None
    reporter.add(self_report.run(f"pilothouse {held.task}", status, held.started_at, error=error, **fields))


def _rare() -> set[str]:
    entries = runtime().registry.all("beat_schedule")
    return {entry.task for _, entry in entries if entry.every_s >= RARE_S}


def _settle(app: Flask, held: Claim) -> Settled:
    found = runtime().registry.task(held.task)
    try:
        if found is None:
            reason = f"No plugin has the task {held.task}; install or repair the plugin, then replay this."
            claims.fail(held, reason, final=True)
            return "dead", reason, None
        plugin, task = found
        if not is_enabled(plugin):
            reason = f"The plugin {plugin} is switched off."
            claims.postpone(held, reason, SWITCHED_OFF_PAUSE_MS)
            return "postponed", reason, None
        return _perform(app, held, task)
    except ClaimLostError as lost:
        return "lost", lost.detail, None


def _perform(app: Flask, held: Claim, task: Task) -> Settled:
    try:
        with Lease(app, held):
            if task.transaction:
                with unit_of_work():
                    task.run(held.payload)
                    claims.finish(held)
            else:
                task.run(held.payload)
                claims.finish(held)
    except ClaimLostError:
        raise
    except (StoreAway, StorageFull) as outage:
        db.session.rollback()
        claims.postpone(held, outage.detail, OUTAGE_PAUSE_MS)
        return "postponed", outage.detail, None
    except Exception as fault:  # noqa: BLE001 - a task may raise anything; it is recorded and shown
        db.session.rollback()
        return _failed(held, task, fault)
    return "done", None, None


def _failed(held: Claim, task: Task, fault: Exception) -> Settled:
    outage = explain(fault)
    if outage is not None:
        claims.postpone(held, outage.detail, OUTAGE_PAUSE_MS)
        return "postponed", outage.detail, None
    error = describe(fault)
    if isinstance(fault, SoftTimeLimitExceeded):
        error = f"It ran longer than its limit of {task.limit_s} s and was ended."
    dead = claims.fail(held, error)
    logs.get("work").error("task_failed", task=held.task, job_id=held.job_id, error=error, where=where(fault))
    return ("dead" if dead else "failed"), error, fault
