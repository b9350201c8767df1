"""What the tests of errors share: one application for a module, as new for each test."""

from __future__ import annotations

import pytest
from flask import Flask


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application as it was migrated."""
    return restored_app


@pytest.fixture
def either_app(restored_either_app: Flask) -> Flask:
    """Return the module's application on either database as it was migrated."""
    return restored_either_app
