"""A console over HTTP on a port of its own, for programs that use the client."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask import Flask

from pilothouse.web.server import make_server


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Serve the application on the console's own web server; returns its address."""
    server = make_server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    server.task_dispatcher.shutdown()
    thread.join(10)
