"""Background work of executions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import runtime
from pilothouse_executions import service


def mark_lost(_payload: Mapping[str, Any]) -> None:
    """Mark executions lost that fell silent for PILOTHOUSE_LOST_AFTER."""
    service.mark_lost(runtime().settings["PILOTHOUSE_LOST_AFTER"])
