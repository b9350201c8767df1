"""Background work of the sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import DAY, now, runtime
from pilothouse_sources import service


def forget(_payload: Mapping[str, Any]) -> None:
    """Forget days that are older than PILOTHOUSE_RETENTION_DAYS."""
    service.forget(now() - runtime().settings["PILOTHOUSE_RETENTION_DAYS"] * DAY)
