"""Background work of second factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import unit_of_work
from pilothouse_factors import ceremonies, service


def rewrap(_payload: Mapping[str, Any]) -> None:
    """Wrap all secrets with the newest master key."""
    with unit_of_work():
        service.rewrap_all()


def tidy(_payload: Mapping[str, Any]) -> None:
    """Forget challenges that are over."""
    ceremonies.forget_spent()
