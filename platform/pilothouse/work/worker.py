"""Running a Celery worker in this process."""

from __future__ import annotations

import gc

from celery import Celery


def run(celery: Celery, concurrency: int) -> int:
    """Run a prefork worker until SIGTERM and return its exit code. Call it from the main thread.

    Processes rather than threads: a task beyond its limit, or one that takes its process down, can be ended without the
    others. Gossip and mingle are off: we have no use for them, and gossip fails loudly when the broker is lost.
    """
    gc.collect()
    gc.freeze()  # what is there now is never collected, so the pool's processes go on sharing its memory
    worker = celery.Worker(
        pool="prefork",
        concurrency=concurrency,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
