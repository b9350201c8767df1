"""What the tests of notifications share: members, failing workflows, a webhook receiver on a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.identity.users import add_user
from pilothouse.testing import environment, let_go, make_app


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application without what other tests stored."""
    return restored_app


@pytest.fixture
def member(app: Flask) -> Callable[..., str]:
    """Make a member of a role and return their id."""

    def make(role: str = "member", email: str = "") -> str:
        with unit_of_work():
            return add_user(email or f"{role}-{clock.new_id()[-8:]}@example.com", role).id  # type: ignore[arg-type]

    return make


@pytest.fixture
def fail() -> Callable[..., None]:
    """Report failed executions of a workflow."""

    def report(api: Any, *keys: str, workflow: str = "nightly") -> None:
        api.send(*({"type": "execution", "id": key, "workflow": workflow, "status": "failed"} for key in keys))

    return report


@pytest.fixture
def rows() -> Callable[[str], list[dict[str, Any]]]:
    """Read rows with SQL, past all code that is under test."""

    def read(statement: str) -> list[dict[str, Any]]:
        with db.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

    return read


class Receiver:
    """A webhook receiver: keeps what came, and answers what `answers` says, one after the other, else 200."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies that came."""
        return [json.loads(body) for _, body in self.got]

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Start a webhook receiver."""
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def migrated_copy(migrated: Any, tmp_path: Any) -> Any:
    """Copy the migrated database into the test's folder."""
    import shutil

    shutil.copy(migrated, tmp_path / "pilothouse.db")
    return tmp_path


@pytest.fixture
def private_app(migrated_copy: Any) -> Iterator[Flask]:
    """Build an application that may call private addresses."""
    app = make_app(environment(migrated_copy, PILOTHOUSE_ALLOW_PRIVATE_TARGETS="on"))
    with app.app_context():
        yield app
    let_go(app)


@pytest.fixture
def time_passes() -> Iterator[Callable[[int], None]]:
    """Let the clock jump ahead by so many ms."""
    ahead = [0]
    start = clock._system_now
    with clock.replaced(lambda: start() + ahead[0]):
        yield lambda ms: ahead.__setitem__(0, ahead[0] + ms)


@pytest.fixture
def drain(app: Flask) -> Callable[[], int]:
    """Run every due job; the test's own session then looks anew, as each request's does."""
    from pilothouse.work.runner import drain as run_due

    def run() -> int:
        ran = run_due(app)
        db.session.rollback()
        return ran

    return run
