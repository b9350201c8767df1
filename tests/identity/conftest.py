"""The core alone on a real SQLite file, and people to sign in to it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from pilothouse.db import db, unit_of_work
from pilothouse.identity.models import User
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import add_user
from pilothouse.runtime import EXTENSION
from pilothouse.testing import environment, make_app
from pilothouse.work.runner import drain


def build(folder: Path, schema: Path | None, **more: str) -> Flask:
    """Build the core alone; plugins have nothing to do with signing in."""
    if schema is not None:
        shutil.copy(schema, folder / "pilothouse.db")
    return make_app(environment(folder, **more), plugins=[])


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the tables once; each test gets a copy of the file."""
    folder = tmp_path_factory.mktemp("schema")
    app = build(folder, None)
    with app.app_context():
        db.create_all()
    close(app)
    return folder / "pilothouse.db"


@pytest.fixture
def app(tmp_path: Path, schema: Path) -> Iterator[Flask]:
    """Build the application without a broker."""
    app = build(tmp_path, schema)
    yield app
    close(app)


@pytest.fixture
def app_with_broker(tmp_path: Path, schema: Path, fresh_broker: str) -> Iterator[Flask]:
    """Build the application with a broker, so that principals are kept."""
    app = build(tmp_path, schema, PILOTHOUSE_REDIS_URL=fresh_broker)
    yield app
    close(app)


def close(app: Flask) -> None:
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    app.extensions[EXTENSION].dispatcher.close()


@pytest.fixture
def context(app: Flask) -> Iterator[None]:
    """Open an application context, for calling services."""
    with app.app_context():
        yield


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a browser that nobody is signed in with."""
    return app.test_client()


class People:
    """Makes users and browsers that are signed in as them."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def add(self, role: Any = "member", email: str = "", **fields: Any) -> User:
        with self.app.app_context(), unit_of_work():
            return add_user(email or f"{role}@example.com", role, **fields)

    def sign_in(self, user: User) -> FlaskClient:
        with self.app.app_context(), unit_of_work():
            token = open_session(db.session.merge(user), device="Firefox on Linux", address="127.0.0.1")
        browser = self.app.test_client()
        browser.set_cookie("pilothouse_session", token)
        return browser

    def browser(self, role: Any = "member") -> FlaskClient:
        return self.sign_in(self.add(role))


@pytest.fixture
def people(app: Flask) -> People:
    """Return what makes users and signed-in browsers."""
    return People(app)


@pytest.fixture
def mails(app: Flask) -> Callable[[], list[EmailMessage]]:
    """Let the worker's tasks run, and return the mails that have left."""

    def run() -> list[EmailMessage]:
        drain(app)
        outbox = app.extensions[EXTENSION].settings.data_dir / "outbox"
        files = sorted(outbox.glob("*.eml")) if outbox.exists() else []
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in files]  # type: ignore[misc]

    return run


def csrf(browser: FlaskClient) -> dict[str, str]:
    """Return the header that a signed-in browser's unsafe requests need."""
    return {"X-CSRF-Token": browser.get("/api/auth/me").json["csrf_token"]}


@pytest.fixture(name="csrf")
def csrf_fixture() -> Callable[[FlaskClient], dict[str, str]]:
    """Return the function that asks for a browser's CSRF header."""
    return csrf


@contextmanager
def counted(app: Flask) -> Iterator[list[str]]:
    """Collect the statements that the database is sent inside the block."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture(name="counted")
def counted_fixture() -> Callable[[Flask], Any]:
    """Return the context manager that collects statements."""
    return counted


class Rows:
    """Reads the database file beside the application, as an operator would."""

    def __init__(self, app: Flask) -> None:
        self.path = app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///")

    def __call__(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def dump(self) -> str:
        with closing(sqlite3.connect(self.path)) as connection:
            return "\n".join(connection.iterdump())


@pytest.fixture
def rows(app: Flask) -> Rows:
    """Read and change the database file from outside."""
    return Rows(app)


@pytest.fixture
def https_app(tmp_path: Path, schema: Path) -> Iterator[Flask]:
    """Build the application as it stands behind TLS."""
    app = build(tmp_path, schema, PILOTHOUSE_BASE_URL="https://ph.example")
    yield app
    close(app)
