"""The application that bodies are sent to, in this process: what it answers, what fails behind it, and its pages afterwards."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from flask import Flask
from tests.conftest import token_of
from tests.fuzz.bodies import DOORS, Body, starting_bodies
from tests.fuzz.mutating import mutated
from tests.fuzz.provider import provider

from pilothouse import migrate
from pilothouse.testing import Api, environment, let_go, make_app, open_browser_session
from pilothouse.work import dead_letters
from pilothouse.work.runner import drain

# 422 at an OTLP or Sentry door would be taken for a fault to try again; 424 is the gateway's word for no usable key
FINE = {
    "otel": {200, 202, 207, 400, 413, 415, 422}, "sentry": {200, 400, 413, 415}, "ingest": {200, 400, 413, 415, 422},
    "gateway": {200, 400, 413, 415, 424}, "pages": {200},
}  # fmt: skip
SHARES = {"otel": 46, "sentry": 31, "ingest": 20, "gateway": 3}  # a call of the gateway takes ten times as long as the others
SLOW_S = 5.0
LISTS = (
    "/api/executions?limit=500", "/api/executions/stats?range=24h", "/api/executions/export.csv", "/api/workflows", "/api/monitors",
    "/api/errors?limit=500", "/api/errors/groups", "/api/sources", "/api/tokens/records?range=1h", "/api/tokens/usage?range=24h",
    "/api/tokens/breakdown?by=model&range=24h", "/api/tokens/breakdown?by=user&range=24h", "/api/tokens/recommendations",
    "/api/tokens/export.csv?range=24h", "/api/telemetry/components?range=24h", "/api/telemetry/events?range=24h",
    "/api/analytics/performance?range=24h", "/api/analytics/trends?measure=executions.count&by=workflow&range=24h",
    "/api/analytics/export.csv?measure=errors.count&by=error_type&range=24h", "/executions/", "/errors/", "/monitors/", "/sources/", "/tokens/",
    "/analytics/", "/analytics/events", "/notifications/", "/settings/system", "/-/palette?q=a",
)  # fmt: skip


@dataclass(slots=True)
class Found:
    """What came of the bodies: answers by door and status, and what should not have been."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    pages: int = 0
    jobs: int = 0

    def told(self, door: str, status: int, spent_s: float) -> None:
        """Count an answer and what it took."""
        self.answers[door, status] += 1
        self.slowest_s = max(self.slowest_s, spent_s)

    def add(self, other: Found) -> None:
        """Add what another sender was told."""
        self.answers += other.answers
        self.faults += other.faults
        self.slowest_s = max(self.slowest_s, other.slowest_s)


class Target:
    """An application with all plugins, a provider behind its gateway, and a browser that is signed in."""

    def __init__(self, folder: Path, provider: str, migrated: Path | None) -> None:
        """Make a database in an empty folder, out of a migrated one if there is one, and put the gateway's keys into it."""
        self._folder = folder
        upstreams = {"PILOTHOUSE_UPSTREAM_OPENAI": provider, "PILOTHOUSE_UPSTREAM_ANTHROPIC": f"{provider}/v1"}
        self._environ = environment(folder, PILOTHOUSE_ALLOW_PRIVATE_TARGETS="on", **upstreams)
        self.app = make_app(self._environ)
        with self.app.app_context():
            if migrated is None:
                migrate.upgrade()
            else:
                shutil.copy(migrated, folder / "pilothouse.db")
            self._session = open_browser_session("owner")
        self.token, self._reading = token_of(self.app, "ingest", "gateway"), token_of(self.app)
        for service in ("openai", "anthropic"):
            answer = self.api.post("/api/keys", json={"name": "main", "service": service, "secret": "sk-of-the-stand-in-1"})
            assert answer.status_code == 201, answer.text
        self.close()
        shutil.copy(folder / "pilothouse.db", folder / "fresh.db")

    @property
    def api(self) -> Api:
        """A program that may read everything."""
        return Api(self.app.test_client(), self._reading)

    @property
    def browser(self) -> Any:
        """A browser in which an owner is signed in."""
        browser = self.app.test_client()
        browser.set_cookie("pilothouse_session", self._session)
        return browser

    def close(self) -> None:
        """End what the application keeps open."""
        with self.app.app_context():
            let_go(self.app)

    def start_afresh(self) -> None:
        """Build the application again, on the database of the beginning, so that it does not grow with the number of bodies."""
        self.close()
        for file in self._folder.glob("pilothouse.db*"):
            file.unlink()
        shutil.copy(self._folder / "fresh.db", self._folder / "pilothouse.db")
        self.app = make_app(self._environ)

    def send(self, body: Body) -> tuple[int, bytes]:
        """Send a body as a server hands it over; returns the answer's status and text."""
        environ = {
            "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": body.path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
            "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body.data), "wsgi.errors": io.StringIO(), "wsgi.multithread": True,
            "wsgi.multiprocess": False, "wsgi.run_once": False, "CONTENT_LENGTH": str(len(body.data)),
            "HTTP_AUTHORIZATION": f"Bearer {self.token}", "HTTP_X_SENTRY_AUTH": f"Sentry sentry_key={self.token}",
        }  # fmt: skip
        if body.content_type:
            environ["CONTENT_TYPE"] = body.content_type
        if body.encoding:
            environ["HTTP_CONTENT_ENCODING"] = body.encoding
        statuses: list[str] = []
        answer = self.app.wsgi_app(environ, lambda status, *_: statuses.append(status))
        try:
            text = b"".join(answer)
        finally:
            if (close := getattr(answer, "close", None)) is not None:
                close()
        return int(statuses[0].split()[0]), text


@contextmanager
def target(migrated: Path | None = None) -> Iterator[Target]:
    """Run a target in a folder of its own until the block ends."""
    with provider() as address, tempfile.TemporaryDirectory(prefix="ph-fuzz-") as folder:
        made = Target(Path(folder), address, migrated)
        yield made
        made.close()


def round_of(made: Target, count: int, seed: int, found: Found, keep: Path | None = None) -> None:
    """Send `count` bodies, let the background work run, and open pages over what was stored; bad ones go to `keep`."""
    dice = Random(seed)
    made.start_afresh()
    for number in range(count):
        door = dice.choices(DOORS, [SHARES[door] for door in DOORS])[0]
        others = starting_bodies(door)
        body = mutated(dice, dice.choice(others), others)
        begun = time.process_time()  # of this process: others on the machine do not count
        status, text = made.send(body)
        spent = time.process_time() - begun
        found.told(door, status, spent)
        wrong = _wrong(made.app, door, status, spent)
        if wrong:
            found.faults.append(f"seed {seed}, body {number}, {body.path}: {wrong}: {text[:300]!r}")
            keep_body(keep, f"{seed}-{number}-{status}", body)
    look_around(made, dice, found, seed)


def _wrong(app: Flask, door: str, status: int, spent: float) -> str:
    failures = app.extensions["pilothouse"].registry.guard.failures
    told = [f"{plugin} failed to {what}: {failure.last_reason}" for (plugin, what), failure in failures.items()]
    failures.clear()
    if status not in FINE[door]:
        told.append(f"status {status}")
    if spent > SLOW_S:
        told.append(f"took {spent:.1f} s")
    return "; ".join(told)


def keep_body(folder: Path | None, name: str, body: Body) -> None:
    """Write a body with its headers to a folder, if there is one, so that it can be sent again."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.body").write_bytes(body.data)
        (folder / f"{name}.txt").write_text(f"{body.path}\n{body.content_type}\n{body.encoding}\n")


def look_around(made: Target, dice: Random, found: Found, seed: int) -> None:
    """Run the jobs that are due, and open lists and some of what is on them: all of it was written by strangers."""
    found.jobs += drain(made.app)
    with made.app.app_context():
        found.faults += [f"seed {seed}: the job {job.task} is dead: {job.error}" for job in dead_letters.newest(50, None)]
    paths = list(LISTS)
    for kind, page, pages in (("executions", "executions", "id"), ("errors", "errors", "group_id")):
        rows = made.api.get(f"/api/{kind}?limit=500&since=0").json["data"]
        for row in dice.sample(rows, min(8, len(rows))):
            paths += [f"/api/{kind}/{quote(row['id'], safe='')}", f"/{page}/{quote(row[pages], safe='')}"]
    for path in paths:
        answer = (made.api if path.startswith("/api/") else made.browser).get(path)
        found.pages += 1
        wrong = _wrong(made.app, "pages", answer.status_code, 0.0)
        if wrong:
            found.faults.append(f"seed {seed}: {path}: {wrong}: {answer.text[:300]!r}")
