"""One application a module, without what other tests stored."""

from __future__ import annotations

import pytest
from flask import Flask


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application as it was migrated."""
    return restored_app


def event(key, **more):
    """Return an event's signal."""
    return {"type": "event", "id": key, "name": "report.opened", **more}
