"""Checks of what Pilothouse needs: for /readyz, the system page and `doctor`. Each is given 2 seconds."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass

import redis
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from pilothouse import clock, migrate
from pilothouse.contract.work import HealthCheck
from pilothouse.db import db
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import application, runtime
from pilothouse.work import heartbeat, jobs

LIMIT_S = 2.0
LEAST_FREE_BYTES = 200 * 1024 * 1024  # SQLite's log alone may grow to 64 MB before it is folded in
LATE_MS = clock.MINUTE


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `fault` is None when all is well; `took_ms` is how long it took; `title` is what people read."""

    name: str
    title: str
    fault: str | None
    remedy: str
    critical: bool
    took_ms: int

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.fault is None


def run_checks(*, critical_only: bool = False) -> list[Finding]:
    """Run all checks of core and plugins side by side and return what they found, in their order.

    A check that takes longer than 2 s counts as failed. One that still hangs from before is not started again.
    """
    app = application()
    offered = runtime().registry.all("health_checks")
    checks = [check for plugin, check in offered if (check.critical or not critical_only) and _is_on(plugin)]
    hanging: dict[str, _Run] = app.extensions.setdefault("pilothouse_health", {})
    runs = [hanging.get(check.name) or _Run(app, check) for check in checks]
    deadline = time.monotonic() + LIMIT_S
    findings = []
    for run in runs:
        finding = run.result(max(0.0, deadline - time.monotonic()))
        if run.done:
            hanging.pop(run.check.name, None)
        else:
            hanging[run.check.name] = run
        findings.append(finding)
    return findings


def _is_on(plugin: str) -> bool:
    try:
        return is_enabled(plugin)
    except SQLAlchemyError:  # the database is away, which its own check tells
        return True


class _Run:
    """One run of one check in a thread of its own."""

    def __init__(self, app: Flask, check: HealthCheck) -> None:
        self.check = check
        self._app = app
        self._fault: str | None = None
        self._started = time.monotonic()
        self._took_ms = 0
        self._over = threading.Event()
        threading.Thread(target=self._work, name=f"check {check.name}", daemon=True).start()

    @property
    def done(self) -> bool:
        return self._over.is_set()

    def result(self, timeout_s: float) -> Finding:
        if not self._over.wait(timeout_s):
            waited = round((time.monotonic() - self._started) * 1000)
            return self._finding(f"No answer within {LIMIT_S:g} s.", waited)
        return self._finding(self._fault, self._took_ms)

    def _finding(self, fault: str | None, took_ms: int) -> Finding:
        title = self.check.title or self.check.name.replace("_", " ").replace(".", " ").capitalize()
        return Finding(self.check.name, title, fault, self.check.remedy, self.check.critical, took_ms)

    def _work(self) -> None:
        try:
            with self._app.app_context():
                self._fault = self.check.check()
        except Exception as fault:  # noqa: BLE001 - a check may raise anything; that is a finding
            self._fault = f"{type(fault).__name__} while checking."
        self._took_ms = round((time.monotonic() - self._started) * 1000)
        self._over.set()


def check_database() -> str | None:
    """Ask the database for one row."""
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError as fault:
        return f"The database does not answer ({type(fault).__name__})."
    return None


def check_broker() -> str | None:
    """Ask the broker whether it is there and writable."""
    client = runtime().redis
    if client is None:
        return "No broker is set: tasks, mails and notifications wait."
    try:
        client.ping()
    except redis.RedisError as fault:
        return f"The broker does not answer ({type(fault).__name__}): tasks, mails and notifications wait."
    return None


def check_migrations() -> str | None:
    """Compare the database's revisions with the code's."""
    waiting = migrate.pending()
    return f"The database is behind the code: {', '.join(waiting)}." if waiting else None


def check_plugins() -> str | None:
    """Name the plugins that failed."""
    failed = [f"{plugin.name} ({plugin.reason})" for plugin in runtime().registry.plugins if plugin.state == "failed"]
    return f"Failed: {'; '.join(failed)}." if failed else None


def check_disk() -> str | None:
    """Look at the free space under the data folder."""
    folder = runtime().settings.data_dir
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    return f"Only {free // (1024 * 1024)} MB are free under {folder}." if free < LEAST_FREE_BYTES else None


def check_worker() -> str | None:
    """Look for a worker's heartbeat."""
    return _alive("worker", "no task runs")


def check_scheduler() -> str | None:
    """Look for a scheduler's heartbeat."""
    return _alive("scheduler", "nothing runs on schedule, and lost wake-ups are not found")


def check_backlog() -> str | None:
    """Count the jobs that should have started a minute ago."""
    late = jobs.waiting_longer_than(LATE_MS)
    return f"{late} tasks have waited for longer than a minute." if late else None


def _alive(kind: str, consequence: str) -> str | None:
    client = runtime().redis
    try:
        found = heartbeat.alive(client, kind) if client is not None else []
    except redis.RedisError:
        return f"The broker does not answer, so nobody knows whether a {kind} runs."
    return None if found else f"No {kind} has been heard of for 30 s: {consequence}."


CHECKS = (
    HealthCheck(
        "database", check_database, "Start the database, or correct PILOTHOUSE_DATABASE_URL.", critical=True
    ),
    HealthCheck("broker", check_broker, "Start Valkey or Redis, or correct PILOTHOUSE_REDIS_URL.", critical=True),
    HealthCheck("migrations", check_migrations, "Run `pilothouse db upgrade`.", critical=True),
    HealthCheck("plugins", check_plugins, "Repair or uninstall the plugin; the rest works without it."),
    HealthCheck("disk", check_disk, "Free some space, or lower PILOTHOUSE_RETENTION_DAYS."),
    HealthCheck("worker", check_worker, "Start `pilothouse worker`."),
    HealthCheck("scheduler", check_scheduler, "Start `pilothouse scheduler`."),
    HealthCheck("backlog", check_backlog, "Start more workers, or look at the dead letters for what fails."),
)
