"""Celery's beat over the job table: a tick makes its job directly, so the schedule needs no broker and no worker.

It also runs the sweep. When each entry last ticked is read from the table, so a restart neither repeats nor skips.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from celery import Celery
from celery.beat import ScheduleEntry, Scheduler, Service
from flask import Flask
from sqlalchemy.exc import DBAPIError

from pilothouse import clock, logs
from pilothouse.errors import PilothouseError
from pilothouse.work import heartbeat, schedule, sweep
from pilothouse.work.celery_app import SWEEP, worker_name
from pilothouse.work.dispatcher import Sender


class JobScheduler(Scheduler):  # type: ignore[misc]
    """A beat scheduler whose entries become jobs."""

    def __init__(self, app: Celery, *args: Any, **kwargs: Any) -> None:
        """Take Celery's own arguments."""
        self._flask: Flask = app.flask
        self._sender = Sender(app)
        self._beaten_at = 0
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Take the entries of the configuration, each with the time of its last tick."""
        self.merge_inplace(self.app.conf.beat_schedule)
        with self._flask.app_context():
            for entry in self.schedule.values():
                # An entry that never ticked is due at once.
                entry.last_run_at = clock.to_datetime(schedule.last_tick(entry.name) or 0)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due and return the seconds until the next look, at most one."""
        if clock.now() - self._beaten_at >= heartbeat.EVERY_S * clock.SECOND:
            self._beaten_at = clock.now()
            heartbeat.beat(self._flask, f"scheduler {worker_name()}")
        return min(float(super().tick(*args, **kwargs)), 1.0)

    def apply_entry(self, entry: ScheduleEntry, **_: Any) -> None:
        """Make the entry's job, or run the sweep. An outage is logged; the next tick finds the store back or not."""
        try:
            with self._flask.app_context():
                if entry.task == SWEEP:
                    sweep.sweep(self._sender)
                else:
                    schedule.tick(entry.name)
        except (PilothouseError, DBAPIError) as fault:
            logs.get("scheduler").warning("store_away", entry=entry.name, error=type(fault).__name__)

    @property
    def producer(self) -> None:
        """Nothing is published here, so beat opens no connection to the broker."""
        return


def run(celery: Celery) -> None:
    """Run the scheduler until SIGTERM or SIGINT. Call it from the main thread."""
    service = Service(app=celery, scheduler_cls=JobScheduler, remote_control=False)

    def stop(_number: int, _frame: object) -> None:
        # From another thread: `stop` sets an event whose lock the interrupted loop may hold.
        threading.Thread(target=service.stop, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    service.start()
