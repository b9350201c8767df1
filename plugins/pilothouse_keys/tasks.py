"""Background work of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_keys import service


def tell_expiring(_payload: Mapping[str, Any]) -> None:
    """Tell of keys that expire soon."""
    service.tell_expiring()


def rewrap(_payload: Mapping[str, Any]) -> None:
    """Wrap all secrets with the newest master key."""
    service.rewrap_all()
