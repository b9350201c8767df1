"""An application with the trial plugin on a real SQLite file, people of every role, and a broker where one is needed."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from pilothouse import clock, embedded
from pilothouse.app import create_app
from pilothouse.db import db, unit_of_work
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import add_user
from pilothouse.plugins.discovery import Candidate
from pilothouse.settings import read_settings

ROLES = ("owner", "admin", "member", "viewer")
NOW = 1_795_000_000_000


def load_trial() -> ModuleType:
    """Import the trial plugin once a process: its tables can be declared only once."""
    if "trial_plugin" not in sys.modules:
        spec = importlib.util.spec_from_file_location("trial_plugin", Path(__file__).with_name("trial_plugin.py"))
        sys.modules["trial_plugin"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["trial_plugin"])
    return sys.modules["trial_plugin"]


def build(folder: Path, plugins: list[Candidate] | None = None, **more: str) -> Flask:
    """Build an application over the folder's database."""
    settings = read_settings({
        "PILOTHOUSE_DATA_DIR": str(folder), "PILOTHOUSE_SECRET_KEY": "s" * 32,
        "PILOTHOUSE_BASE_URL": "http://localhost", **more,
    })
    app = create_app(settings, [Candidate("trial", load_trial(), "trial-dist", "1.2")] if plugins is None else plugins)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture(scope="session")
def trial() -> ModuleType:
    """Return the trial plugin."""
    return load_trial()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Make a database with one person a role, and their session tokens; made once, copied for each test."""
    folder = tmp_path_factory.mktemp("console")
    tokens = {}
    app = build(folder)
    with app.app_context():
        db.create_all()
        with unit_of_work() as session:
            for role in ROLES:
                user = add_user(f"{role}@example.com", role, name=f"{role.title()} Person")
                session.flush()
                tokens[role] = open_session(user, device="test", address="127.0.0.1")
        db.session.remove()
        db.engine.dispose()
    return folder / "pilothouse.db", tokens


@contextmanager
def running(app: Flask) -> Iterator[Flask]:
    """Keep an application context open, and let go of the database afterwards."""
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def folder(prepared: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    """Return a data folder with a copy of the prepared database."""
    shutil.copy(prepared[0], tmp_path / "pilothouse.db")
    return tmp_path


@pytest.fixture
def app(folder: Path) -> Iterator[Flask]:
    """Build the application, without a broker."""
    with running(build(folder)) as app:
        yield app


@pytest.fixture
def app_with(folder: Path) -> Callable[..., object]:
    """Return the context manager of an application with other plugins over the same database."""
    return lambda *plugins: running(build(folder, list(plugins)))


@pytest.fixture
def sign_in(prepared: tuple[Path, dict[str, str]]) -> Callable[[Flask, str], FlaskClient]:
    """Return a function that signs somebody of a role in to an application."""
    return lambda app, role: signed_in(app, prepared[1][role])


@pytest.fixture
def as_role(app: Flask, prepared: tuple[Path, dict[str, str]]) -> Callable[[str], FlaskClient]:
    """Return a browser in which somebody of a role is signed in."""
    return lambda role: signed_in(app, prepared[1][role])


@pytest.fixture
def owner(as_role: Callable[[str], FlaskClient]) -> FlaskClient:
    """Return the owner's browser."""
    return as_role("owner")


class Browser(FlaskClient):
    """A client that sends the CSRF token with each form, as the pages do."""

    def submit(self, path: str, **fields: object) -> object:
        """Post a form."""
        token = self.get("/api/auth/me").json["csrf_token"]
        headers = fields.pop("headers", {})
        return self.post(path, data={"csrf_token": token, **fields}, headers=headers)


def signed_in(app: Flask, token: str) -> Browser:
    """Make a browser with a session's cookie."""
    browser = Browser(app, app.response_class, use_cookies=True)
    browser.set_cookie("pilothouse_session", token)
    return browser


@pytest.fixture
def make_runs(app: Flask, trial: ModuleType) -> Callable[..., list[str]]:
    """Return a function that stores runs, the first the newest; answers their ids."""

    def make(number: int = 1, **fields: object) -> list[str]:
        rows = [{"id": clock.new_id(), "name": f"Run {index}", "status": "succeeded", "duration_ms": 1500, "tokens": 10,
                 "cost": 14_800_000, "started_at": NOW - index * 1000, "rev": 1, **fields} for index in range(number)]
        with unit_of_work() as session:
            session.add_all([trial.Run(**row) for row in rows])
        return [row["id"] for row in rows]

    return make


@pytest.fixture
def make_price(app: Flask, trial: ModuleType) -> Callable[..., int]:
    """Return a function that stores a model price; answers its id."""

    def make(model: str, **fields: object) -> int:
        with unit_of_work() as session:
            row = trial.PriceRow(**{"provider": "Maker", "model": model, "owner": "ours", **fields})
            session.add(row)
            session.flush()
            return row.id

    return make


@contextmanager
def counted(app: Flask) -> Iterator[list[str]]:
    """Collect the statements that the block sends to the database."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")):
            statements.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def count_queries() -> Callable[[Flask], object]:
    """Return the context manager that collects statements."""
    return counted


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """Start a Valkey of our own on a unix socket."""
    place = Path(tempfile.mkdtemp(prefix="ph-"))
    server = subprocess.Popen(
        [str(embedded.find_binary()), "--port", "0", "--unixsocket", str(place / "v.sock"), "--save", "", "--dir", str(place)],
        stdout=subprocess.DEVNULL,
    )
    with redis.Redis.from_url(url := f"unix://{place}/v.sock") as client:
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
    yield url
    server.terminate()
    server.wait(10)
    shutil.rmtree(place)


@pytest.fixture
def live_app(folder: Path, broker_url: str) -> Iterator[Flask]:
    """Build the application with a broker, so that polls know what changed."""
    with running(build(folder, PILOTHOUSE_REDIS_URL=broker_url)) as app:
        yield app
