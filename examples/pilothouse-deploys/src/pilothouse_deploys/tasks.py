"""Tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_deploys import service


def forget(_payload: Mapping[str, Any]) -> None:
    """Delete what is old."""
    service.forget_old()
