"""A served console with data and a broker, and pages that fail the test for whatever a browser complains about."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Page

from pilothouse import clock, embedded
from pilothouse.app import create_app
from pilothouse.db import db, unit_of_work
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import add_user
from pilothouse.plugins.discovery import Candidate
from pilothouse.runtime import runtime
from pilothouse.settings import read_settings
from pilothouse.testing import let_go, serving

TRIAL = Path(__file__).parent.parent / "console" / "trial_plugin.py"
ROLES = ("owner", "admin", "member", "viewer")
NAMES = ("Nightly digest", "Extract invoices", "x" * 200, "\u0645\u0631\u062d\u0628\u0627 \U0001f680", "Refund agent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


def load_trial() -> ModuleType:
    """Import the trial plugin once a process: its tables can be declared only once."""
    if "trial_plugin" not in sys.modules:
        spec = importlib.util.spec_from_file_location("trial_plugin", TRIAL)
        sys.modules["trial_plugin"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["trial_plugin"])
    return sys.modules["trial_plugin"]


@dataclass
class Site:
    """A served console: its address, everybody's session token, and ways to change what it shows."""

    url: str
    app: object
    trial: ModuleType
    tokens: dict[str, str] = field(default_factory=dict)

    def change(self, work: Callable[[object], None]) -> None:
        """Change the database in a transaction of its own, and say so as the product does."""
        with self.app.app_context():
            with unit_of_work() as session:
                work(session)
            runtime().changes.bump("trial")
            db.session.remove()

    def add_run(self, **fields: object) -> str:
        """Store a run that is newer than all others; answers its id."""
        values = {"id": clock.new_id(), "name": "Fresh run", "status": "running", "started_at": clock.now(), **fields}
        self.change(lambda session: session.add(self.trial.Run(**values)))
        return values["id"]

    def set_run(self, run_id: str, **fields: object) -> None:
        """Change a run and raise its revision."""

        def work(session: object) -> None:
            run = session.get(self.trial.Run, run_id)
            for name, value in fields.items():
                setattr(run, name, value)
            run.rev += 1

        self.change(work)


@contextmanager
def valkey() -> Iterator[str]:
    """Run a Valkey of our own on a unix socket."""
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


def fill(site: Site) -> None:
    """Store people, runs of every state and a few prices."""
    with site.app.app_context():
        db.create_all()
        with unit_of_work() as session:
            for role in ROLES:
                user = add_user(f"{role}@example.com", role, name="Ada Moreau" if role == "owner" else role.title())
                session.flush()
                site.tokens[role] = open_session(user, device="test", address="127.0.0.1")
            session.add_all([
                site.trial.Run(
                    id=clock.new_id(), name=NAMES[n % len(NAMES)], status=site.trial.STATUSES[n % 7], tokens=n * 1_000,
                    started_at=clock.now() - n * n * 4_000 - 60_000, duration_ms=n * 900 if n % 7 else None, cost=n * 10**7,
                ) for n in range(120)
            ])
            session.add_all([site.trial.PriceRow(provider="Maker", model=f"model-{n}", usd=n) for n in range(60)])
        db.session.remove()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the console on a free port."""
    folder = tmp_path_factory.mktemp("site")
    with valkey() as broker:
        settings = {"PILOTHOUSE_DATA_DIR": str(folder), "PILOTHOUSE_SECRET_KEY": "s" * 32, "PILOTHOUSE_REDIS_URL": broker}
        broken = Candidate("broken", None, "broken-dist", "0.1", failure="import failed: ModuleNotFoundError")
        app = create_app(read_settings(settings), [Candidate("trial", load_trial(), "trial-dist", "1.2"), broken])
        app.config["PROPAGATE_EXCEPTIONS"] = False
        with serving(app) as address:
            made = Site(address, app, load_trial())
            fill(made)
            yield made
        let_go(app)


class Complaints(list):
    """What the browser complained about; `allow` takes out what a test brings about on purpose."""

    def allow(self, part: str) -> None:
        """Pass over complaints that contain the text."""
        self[:] = [one for one in self if part not in one]


@pytest.fixture
def complaints() -> Complaints:
    """Return the list of complaints; it must be empty when the test ends."""
    return Complaints()


@pytest.fixture
def open_page(site: Site, chromium: Browser, complaints: Complaints) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page as somebody; afterwards no complaint may be left."""
    contexts: list[BrowserContext] = []

    def open_as(path: str, role: str | None = "owner", *, width: int = 1440, height: int = 900, **options: object) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        if role is not None:
            context.add_cookies([{"name": "pilothouse_session", "value": site.tokens[role], "url": site.url}])
        page = context.new_page()
        page.set_default_timeout(10_000)
        watch(page, site.url, complaints)
        page.goto(site.url + path)
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []


def watch(page: Page, url: str, complaints: Complaints) -> None:
    """Note errors of the script, violations of the policy, failed files and requests to other hosts."""

    def answered(response: object) -> None:
        if response.status >= 400:
            complaints.append(f"{response.status} {response.url}")

    def asked(request: object) -> None:
        if not request.url.startswith((url, "data:", "about:")):
            complaints.append(f"request to another host: {request.url}")

    def said(message: object) -> None:
        if message.type == "error":
            complaints.append(f"{message.type}: {message.text}")

    page.on("console", said)
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("response", answered)
    page.on("request", asked)
