"""A console over HTTP on a port of its own, for programs that use the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from pilothouse.testing import serving


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Serve the application on the console's own web server; returns its address."""
    with serving(app) as address:
        yield address
