"""Background work of the OpenTelemetry plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_otel import service

MOST_STEPS = 100  # transactions a run makes; what is left waits for the next one


def forget(_payload: Mapping[str, Any]) -> None:
    """Forget observations and series of metrics of which nothing was said for two days."""
    for _ in range(MOST_STEPS):
        if not service.forget():
            return
