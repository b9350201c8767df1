"""The pytest plugin for us and for plugin authors: an application on a real database, callers of every role, and makers.

It is loaded by its entry point wherever Pilothouse is installed. Every test gets a fresh copy of a migrated SQLite file, so
tests share nothing. Put `pytest_plugins` nowhere; just name the fixtures.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of test applications only
ROLES = ("owner", "admin", "member", "viewer")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the settings of a test application with its data in `folder`."""
    base64_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    return {
        "PILOTHOUSE_DATA_DIR": str(folder),
        "PILOTHOUSE_SECRET_KEY": SECRET,
        "PILOTHOUSE_MASTER_KEYS": base64_key,
        "PILOTHOUSE_BASE_URL": "http://localhost",
        **more,
    }


def make_app(environ: dict[str, str], plugins: Any = None) -> Flask:
    """Build an application on settings; the database is not migrated."""
    from pilothouse.app import create_app
    from pilothouse.settings import read_settings

    settings = read_settings(environ)
    if plugins is None:
        plugins = [found for found in _installed() if found.name not in settings["PILOTHOUSE_PLUGINS_DISABLED"]]
    app = create_app(settings, plugins)
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False  # a fault must become the answer that users would see
    return app


@cache
def _installed() -> list[Any]:
    """Find the installed plugins once: looking for them costs more than an application without them."""
    from pilothouse.plugins.discovery import discover

    return discover()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a SQLite file with every installed plugin's migrations, once; each test gets a copy."""
    from pilothouse import migrate
    from pilothouse.db import db

    folder = tmp_path_factory.mktemp("migrated")
    app = make_app(environment(folder))
    with app.app_context():
        migrate.upgrade()
        db.engine.dispose()
    return folder / "pilothouse.db"


@pytest.fixture
def app(migrated: Path, tmp_path: Path) -> Iterator[Flask]:
    """Build an application on a fresh database, inside its application context."""
    shutil.copy(migrated, tmp_path / "pilothouse.db")
    app = make_app(environment(tmp_path))
    with app.app_context():
        yield app
    let_go(app)


def let_go(app: Flask) -> None:
    """End what an application keeps open: its own reports, the dispatcher's thread, connections to mail server and database."""
    from pilothouse.db import db

    run = app.extensions["pilothouse"]
    run.reporter.close()
    run.dispatcher.close()
    run.mailer.close()
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@contextmanager
def serving(app: Flask, port: int = 0, *, proxies: int = 0) -> Iterator[str]:
    """Serve an application inside the block, on the web server of `pilothouse up`; yields its address. Port 0 is a free one.

    `proxies` is how many the server believes to stand in front of it.
    """
    from pilothouse.web.server import make_server, serve_until

    server = make_server(app, "127.0.0.1", port, proxies=proxies)
    stopping = threading.Event()
    thread = threading.Thread(target=serve_until, args=(server, stopping))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        stopping.set()
        server.trigger.pull_trigger()
        thread.join()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a browser that is nobody yet."""
    return app.test_client()


@dataclass(slots=True)
class Api:
    """A program with an access token: calls return the response; `send` posts signals and returns the answer."""

    client: FlaskClient
    token: str

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Return `get`, `post`, `put`, `patch` or `delete`."""

        def call(path: str, **options: Any) -> Any:
            headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
            return self.client.open(path, method=method.upper(), headers=headers, **options)

        return call

    def send(self, *signals: dict[str, Any]) -> Any:
        """Post signals to /api/ingest and return the decoded answer."""
        response = self.post("/api/ingest", json={"signals": list(signals)})
        assert response.status_code == 200, response.text  # noqa: S101, PLR2004 - this is a test's own assertion
        return response.json


@pytest.fixture
def make_token(app: Flask) -> Callable[..., str]:  # noqa: ARG001 - a token is of an application
    """Return what makes an access token with the given scopes, as the command line does: it acts as owner within them."""
    from pilothouse.db import unit_of_work
    from pilothouse.identity.access_tokens import create_token

    def make(*scopes: str) -> str:
        with unit_of_work():
            return create_token("test", scopes)[1]

    return make


@pytest.fixture
def api(app: Flask, make_token: Callable[..., str]) -> Api:
    """Return a program that may do everything that programs may."""
    return Api(app.test_client(), make_token("ingest", "read", "write", "admin"))


@pytest.fixture
def as_role(app: Flask) -> Callable[[str], FlaskClient]:
    """Return a browser that is signed in as a new user of the role; unsafe requests carry its CSRF token by themselves."""

    def browser(role: str) -> FlaskClient:
        token = open_browser_session(role)
        client = app.test_client()
        client.set_cookie("pilothouse_session", token)
        me: Any = client.get("/api/auth/me").json
        client.environ_base["HTTP_X_CSRF_TOKEN"] = me["csrf_token"]
        return client

    return browser


def open_browser_session(role: str) -> str:
    """Make a user of the role and return the cookie value of a session of theirs."""
    from pilothouse import clock
    from pilothouse.db import unit_of_work
    from pilothouse.identity.sessions import open_session
    from pilothouse.identity.users import add_user

    with unit_of_work():
        user = add_user(f"{role}-{clock.new_id()[-8:]}@example.com", role, name=role.title())  # type: ignore[arg-type]  # a wrong one fails
        return open_session(user, device="Firefox on Linux", address="127.0.0.1")


@pytest.fixture
def drain(app: Flask) -> Callable[[], int]:
    """Run every job that is due, also those that they make, here and now; returns how many ran."""
    from pilothouse.work.runner import drain as run_due

    return lambda: run_due(app)


@pytest.fixture
def mailbox(drain: Callable[[], int]) -> Callable[[], list[Any]]:
    """Let the jobs run and return the mails that have left, the oldest first."""
    from email import message_from_bytes, policy

    from pilothouse.runtime import runtime

    def read() -> list[Any]:
        drain()
        files = sorted((runtime().settings.data_dir / "outbox").glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in files]

    return read


@contextmanager
def count_queries() -> Iterator[list[str]]:
    """Collect the SQL statements that this thread runs inside the block."""
    from sqlalchemy import event

    from pilothouse.db import db

    statements: list[str] = []
    own = threading.get_ident()  # the application's own reports are stored by a thread beside

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == own and not statement.startswith(
            ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")
        ):
            statements.append(statement)

    engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
