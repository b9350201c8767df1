"""What the tests of keys share: one application for a module, as new for each test."""

from __future__ import annotations

import pytest
from flask import Flask


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application as it was migrated."""
    return restored_app
