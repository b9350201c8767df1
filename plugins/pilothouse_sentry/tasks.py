"""Background work of the Sentry plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_sentry import service


def find_missed(_payload: Mapping[str, Any]) -> None:
    """Record scheduled jobs that did not start, and runs of them that did not end."""
    service.find_missed()


def forget(_payload: Mapping[str, Any]) -> None:
    """Forget monitors that nobody waits for."""
    service.forget()
