"""The running application as one frozen object: the only use of `current_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app

if TYPE_CHECKING:
    from pilothouse.settings import Settings

EXTENSION = "pilothouse"


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the parts of one application share. Fields typed Any belong to modules above this one.

    `registry` is a `plugins.registry.Registry`, `celery` a `celery.Celery`, `redis` a `redis.Redis`, `keyring` a
    `crypto.Keyring`, `ingest` an `ingest.Ingest`, `limiter` a `web.limits.Limiter`, `changes` a `changes.Changes`,
    `dispatcher` a `work.dispatcher.Dispatcher`, `switches` a `plugins.switches.Switches`,
    `mailer` a `work.mail.Mailer`.
    """

    settings: Settings
    registry: Any
    keyring: Any
    redis: Any
    changes: Any
    celery: Any
    dispatcher: Any
    ingest: Any
    limiter: Any
    switches: Any
    reader: Any
    reporter: Any
    mailer: Any = None


def runtime() -> Runtime:
    """Return the runtime of the application whose context is active.

    Raises RuntimeError, from Flask, outside of an application context.
    """
    return cast("Runtime", current_app.extensions[EXTENSION])


def application() -> Flask:
    """Return the Flask application whose context is active."""
    return cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - Flask documents no other way
