"""Background work of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_gateway import service
from pilothouse_gateway.journal import recover
from pilothouse_gateway.records import Recording

MOST_STEPS = 100  # transactions a run makes; what is left waits for the next one


def forget(_payload: Mapping[str, Any]) -> None:
    """Forget prompts and answers that are past their time."""
    for _ in range(MOST_STEPS):
        if not service.forget():
            return


def recover_calls(_payload: Mapping[str, Any]) -> None:
    """Record the calls that ended processes left in their journals."""
    recover(Recording().store)
