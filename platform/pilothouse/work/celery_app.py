"""The Celery application: one Celery task for each declared task, taking a job's id and nothing else.

Messages are acknowledged as soon as a worker takes them, on purpose: the row in `jobs` with its lease is what brings
work back after a kill, within 25 s and counted, so nothing depends on the broker's redelivery (kombu's took 99 s).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import uuid_utils
from celery import Celery, bootsteps
from celery.loaders.app import AppLoader
from flask import Flask

from pilothouse import broker, logs
from pilothouse.db import db
from pilothouse.errors import StoreAway
from pilothouse.settings import Settings
from pilothouse.work import heartbeat, parent_death, runner, schedule, sweep
from pilothouse.work.dispatcher import UNKNOWN, Sender

if TYPE_CHECKING:
    from pilothouse.plugins.registry import Registry

QUEUE = "pilothouse"
TICK = "pilothouse.tick"
SWEEP = "pilothouse.sweep"
UNKNOWN_LIMIT_S = 60  # of what only writes down that nobody can do it
HARD_LIMIT_AFTER_S = 5  # between asking a task to end and killing its process
VISIBILITY_S = 3600  # above every task's limit; a message that reappears after it finds its job done


class PilothouseCelery(Celery):  # type: ignore[misc]
    """A Celery application that knows its Flask application."""

    flask: Flask
    loader_cls = "pilothouse.work.celery_app:WorkerLoader"


class WorkerLoader(AppLoader):  # type: ignore[misc]
    """Prepares the processes of a worker's pool."""

    worker: int | None = None  # the id of the process that starts them

    def on_worker_init(self) -> None:
        """Note who the parent is: one that ends before its child can ask for a signal is known by that."""
        self.worker = os.getpid()

    def on_worker_process_init(self) -> None:
        """Let go of what was inherited by the fork: connections and threads belong to the parent."""
        parent_death.kill_with_parent(self.worker)
        uuid_utils.reseed_rng()  # else two processes of the pool would make the same ids
        flask: Flask = self.app.flask
        with flask.app_context():
            db.engine.dispose(close=False)
        found = flask.extensions.get("pilothouse")
        if found is not None:
            found.dispatcher.after_fork()
            if found.redis is not None:
                found.redis.connection_pool.reset()


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Says every 5 s that this worker lives, from the main process, whatever the pool is busy with."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        """Start with the worker."""
        flask: Flask = worker.app.flask
        name = f"worker {worker_name()}"
        worker.timer.call_repeatedly(heartbeat.EVERY_S, heartbeat.beat, (flask, name))
        heartbeat.beat(flask, name)


def make_celery(app: Flask, settings: Settings, registry: Registry) -> Celery:
    """Build the Celery application for one Flask application; it is not made current, and nothing is connected.

    Raises ValueError where a task's limit is not below the broker's visibility timeout.
    """
    celery = PilothouseCelery("pilothouse", set_as_current=False)
    celery.flask = app
    celery.conf.update(_configuration(settings, registry))
    celery.steps["worker"].add(Heartbeat)
    for name, limit_s in [(task.name, task.limit_s) for _, task in registry.all("tasks")] + [(UNKNOWN, UNKNOWN_LIMIT_S)]:
        _register(celery, name, limit_s)
    celery.task(name=TICK, shared=False)(_in_context(app, schedule.tick))
    celery.task(name=SWEEP, shared=False)(_in_context(app, lambda: sweep.sweep(Sender(celery))))
    return celery


def worker_name() -> str:
    """Return the name of this process as it stands in the attempts: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _register(celery: Celery, name: str, limit_s: int) -> None:
    flask: Flask = celery.flask

    def run(job_id: str) -> None:
        try:
            runner.run(flask, job_id, worker_name())
        except StoreAway as outage:  # the row is as it was; the sweep sends it again
            logs.get("work").warning("store_away", task=name, job_id=job_id, error=outage.detail)

    limits = {"soft_time_limit": limit_s, "time_limit": limit_s + HARD_LIMIT_AFTER_S}
    celery.task(name=name, shared=False, **limits)(run)  # a shared one lives on in every later application


def _in_context(app: Flask, function: Any) -> Any:
    def run(*args: Any) -> None:
        with app.app_context():
            function(*args)

    return run


def _configuration(settings: Settings, registry: Registry) -> dict[str, Any]:
    return {
        "broker_url": broker.celery_url(settings.redis_url) if settings.redis_url else "memory://",
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_S,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "socket_keepalive": not (settings.redis_url or "").startswith("unix"),
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker as long as it takes
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_publish_retry": False,
        "task_acks_late": False,
        "result_backend": "disabled://",
        "result_expires": None,
        "enable_utc": True,
        "worker_prefetch_multiplier": 1,
        "worker_max_memory_per_child": 300_000,  # KiB: a process above it is replaced after its task
        "worker_cancel_long_running_tasks_on_connection_loss": True,  # what Celery 6 does; silences its warning
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "beat_scheduler": "pilothouse.work.scheduler:JobScheduler",
        "beat_max_loop_interval": 1,
        "beat_schedule": _beat_schedule(registry),
    }


def _beat_schedule(registry: Registry) -> dict[str, Any]:
    def entry(task: str, every_s: float, *args: str) -> dict[str, Any]:
        return {"task": task, "args": args, "schedule": every_s, "options": {"expires": every_s}}

    found = {item.name: entry(TICK, item.every_s, item.name) for _, item in registry.all("beat_schedule")}
    return found | {SWEEP: entry(SWEEP, sweep.EVERY_S)}
