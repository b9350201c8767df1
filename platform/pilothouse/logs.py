"""Logs: one JSON line a request, task or failure; readable lines on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog

_LOUD = ("celery", "kombu", "waitress", "werkzeug", "alembic", "amqp")  # they report what we report ourselves


def get(name: str) -> Any:
    """Return the logger of one part; it works before `configure` too."""
    return structlog.get_logger(part=name)


def configure(process: str, *, readable: bool | None = None, silent: bool = False) -> None:
    """Send all logs of this process to stderr, with the process's name (`web`, `worker`, ...) on each line.

    `readable` is by default whether stderr is a terminal; else each line is a JSON object. `silent` drops what is
    not critical.
    """
    pretty = sys.stderr.isatty() if readable is None else readable
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(process),
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if pretty:
        renderer = structlog.dev.ConsoleRenderer()
    else:
        shared.append(structlog.processors.format_exc_info)  # the console's renderer draws exceptions itself
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL if silent else logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("Any", sys.stderr)),
        cache_logger_on_first_use=False,
    )
    _adopt_standard_logging(shared, renderer, logging.CRITICAL if silent else logging.WARNING)


def _named(process: str) -> Any:
    def add(_logger: object, _method: str, line: dict[str, Any]) -> dict[str, Any]:
        line.setdefault("process", process)
        return line

    return add


def _adopt_standard_logging(shared: list[Any], renderer: Any, level: int) -> None:
    """Let the libraries' own log records leave as the same lines, warnings and above."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LOUD:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
