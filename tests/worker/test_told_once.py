"""Workers of a running console are killed while they tell and deliver: in the console once each, webhooks under a constant id."""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from standardwebhooks import Webhook
from up_parts import Up, free_port, pilothouse
from work_parts import eventually

PEOPLE = 300
WHOLE = 0.05  # of the kills take the whole worker
FEW, MANY = 6, pytest.param(500, marks=[pytest.mark.kill, pytest.mark.slow])


class Receiver:
    """A webhook receiver that checks each signature with the standard's own library."""

    def __init__(self) -> None:
        self.secret = ""
        self.events: defaultdict[str, list[str]] = defaultdict(list)  # id of the message -> workflows that it told of
        self.wrong: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    Webhook(receiver.secret).verify(body, {name.lower(): value for name, value in self.headers.items()})
                except Exception as fault:  # noqa: BLE001 - whatever is wrong with it is told by the test
                    receiver.wrong.append(repr(fault))
                receiver.events[self.headers["webhook-id"]].append(json.loads(body)["data"]["event"]["workflow"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    monkeypatch.setenv("PILOTHOUSE_ALLOW_PRIVATE_TARGETS", "on")
    with tempfile.TemporaryDirectory(prefix="ph", ignore_cleanup_errors=True) as name:
        found = Up(Path(name) / "data", free_port())
        yield found
        found.stop()


class Caller:
    """A program with a token, which tries again while the web process is away."""

    def __init__(self, up: Up) -> None:
        self.url = up.url
        scopes = [word for scope in ("ingest", "read", "write", "admin") for word in ("--scope", scope)]
        self.token = pilothouse(up.folder, "token", "create", "kills", *scopes).stdout.strip()

    def post(self, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with urlopen(Request(self.url + path, json.dumps(body).encode(), headers), timeout=30) as answer:
            return json.load(answer)


def read(up: Up, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{up.folder}/pilothouse.db?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def add_people(up: Up) -> None:
    """Add people who want no mail: what is looked at here is the console and the webhook."""
    at = int(time.time() * 1000)
    connection = sqlite3.connect(up.folder / "pilothouse.db", timeout=30)
    with connection:
        people = [(f"person-{number:04}", f"u{number}@example.com", at) for number in range(PEOPLE)]
        columns = "id, email, name, role, status, created_at"
        connection.executemany(f"INSERT INTO users ({columns}) VALUES (?, ?, '', 'member', 'active', ?)", people)
        wishes = [(user_id, "workflow", "email", 0) for (user_id,) in connection.execute("SELECT id FROM users").fetchall()]
        columns = "user_id, category, channel, enabled"
        connection.executemany(f"INSERT INTO notification_preferences ({columns}) VALUES (?, ?, ?, ?)", wishes)
    connection.close()


def hook_to(receiver: Receiver) -> dict[str, Any]:
    return {"name": "kills", "kind": "webhook", "url": receiver.url, "categories": ["executions.failed"]}


def failure(number: int) -> dict[str, Any]:
    return {"type": "execution", "id": f"run-{number}", "workflow": f"kill-{number}", "status": "failed"}


def kill_some_worker(up: Up) -> None:
    """Kill a process of the pool, and now and then the whole worker, once one is there that works."""
    assert eventually(lambda: pool_of(up), 120)
    try:
        worker = up.children()["worker"]
        random.choice([worker] if random.random() < WHOLE else worker.children()).kill()
    except (KeyError, IndexError, psutil.NoSuchProcess):  # it went by itself meanwhile
        kill_some_worker(up)


def pool_of(up: Up) -> list[psutil.Process]:
    """Return the processes of the pool; none while the worker starts, before which the supervisor may pause."""
    worker = up.children().get("worker")
    try:
        return worker.children() if worker is not None else []
    except psutil.NoSuchProcess:
        return []


def unsettled(up: Up, caller: Caller) -> int:
    """Return how much is still to be told or sent; what chance killed three times is replayed, as a person would."""
    for (job_id,) in read(up, "SELECT id FROM jobs WHERE state = 'dead'"):
        try:
            caller.post(f"/api/dead-letters/{job_id}/replay", {})
        except HTTPError as refusal:
            if refusal.code != HTTPStatus.CONFLICT:  # which says that the same work waits already
                raise
    told = read(up, "SELECT count(*) FROM notices WHERE state IN ('waiting', 'telling')")[0][0]
    sent = read(up, "SELECT count(*) FROM notification_deliveries WHERE status = 'held' AND due_at IS NOT NULL")[0][0]
    return int(told + sent)


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_killed_workers_tell_everybody_once(up: Up, receiver: Receiver, kills: int) -> None:
    caller = Caller(up)
    add_people(up)
    receiver.secret = caller.post("/api/notifications/channels", hook_to(receiver))["secret"]
    for number in range(kills):
        assert caller.post("/api/ingest", {"signals": [failure(number)]})["accepted"] == 1
        time.sleep(random.uniform(0.05, 0.6))
        kill_some_worker(up)
    check_everybody_was_told_once(up, caller, receiver, kills)


def test_what_happens_while_the_broker_is_frozen_is_told_once_when_it_is_back(up: Up, receiver: Receiver) -> None:
    caller = Caller(up)
    add_people(up)
    receiver.secret = caller.post("/api/notifications/channels", hook_to(receiver))["secret"]
    broker = up.children()["valkey-server"]
    broker.suspend()
    for number in range(20):
        assert caller.post("/api/ingest", {"signals": [failure(number)]})["accepted"] == 1
    assert read(up, "SELECT count(*) FROM notifications")[0][0] == 0
    broker.resume()
    check_everybody_was_told_once(up, caller, receiver, 20)


def check_everybody_was_told_once(up: Up, caller: Caller, receiver: Receiver, failures: int) -> None:
    assert eventually(lambda: unsettled(up, caller) == 0, 240), unsettled(up, caller)
    everybody = read(up, "SELECT count(*) FROM users WHERE status = 'active'")[0][0]
    told = Counter(read(up, "SELECT n.title, t.user_id FROM notifications t JOIN notices n ON n.id = t.notice_id"))
    mine = {pair: times for pair, times in told.items() if pair[0].startswith("kill-")}
    assert len(mine) == failures * everybody
    assert set(mine.values()) == {1}
    assert receiver.wrong == []
    assert {len(set(workflows)) for workflows in receiver.events.values()} == {1}  # one id never tells of two events
    names = [workflows[0] for workflows in receiver.events.values() if workflows[0].startswith("kill-")]
    assert sorted(names) == sorted(f"kill-{number}" for number in range(failures))  # one id each, however often it was sent
