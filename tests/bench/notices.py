"""P8: one event told to 100,000 people in the console, and how soon an open console shows a toast of an event."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from pathlib import Path

import psutil
from tests.bench import servers
from tests.bench.figures import Figure, at_most, percentile
from tests.bench.pages import CHROMIUM, SWITCHES, sign_in

from pilothouse import clock

PEOPLE = 100_000
MOST_S, MOST_MB, TOAST_MS = 10, 300, 1_000
EVENTS = 60
PATIENCE_S = 180
SEEN = """
new MutationObserver(changes => changes.forEach(change => change.addedNodes.forEach(node =>
  node.matches?.(".toast") && (window.seen ||= []).push([node.querySelector("b").textContent, Date.now()])
))).observe(document.querySelector("#toasts"), { childList: true })
"""


def fan_out(_rows: int) -> list[Figure]:
    """Tell 100,000 members of one failed run, then watch toasts, each on a running `pilothouse up`."""
    return [*_crowd(), *_toasts()]


def _crowd() -> list[Figure]:
    with servers.console() as console:
        _add_people(console.folder / "pilothouse.db")
        begun = time.monotonic()
        _fail(console, "crowd")
        told = _wait_until_told(console.folder / "pilothouse.db")
        spent = time.monotonic() - begun
        assert told == PEOPLE + 1, f"{told} rows"  # and the owner's
        memory = _peak_mb(console.process.pid)
    return [
        at_most("P8", f"one event to {PEOPLE:,} people's in-app rows", spent, MOST_S, unit="s", digits=1),
        at_most("P8", "the largest worker process meanwhile, peak (RSS)", memory, MOST_MB, unit="MB"),
    ]


def _add_people(path: Path) -> None:
    at = clock.now()
    rows = [(clock.new_id(), f"u{number}@example.com", at) for number in range(PEOPLE)]
    columns = "id, email, name, role, status, created_at"
    with sqlite3.connect(path, timeout=30) as connection:
        connection.executemany(f"INSERT INTO users ({columns}) VALUES (?, ?, '', 'member', 'active', ?)", rows)
    connection.close()


def _fail(console: servers.Console, workflow: str) -> None:
    run = {"type": "execution", "id": clock.new_id(), "workflow": workflow, "status": "failed"}
    headers = {"Authorization": f"Bearer {console.token}", "Content-Type": "application/json"}
    body = json.dumps({"signals": [run]}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{console.port}/api/ingest", body, headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert json.load(answer)["accepted"] == 1


def _wait_until_told(path: Path) -> int:
    """Wait until the notice says that everybody was told; return how many rows there are."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if connection.execute("SELECT 1 FROM notices WHERE state = 'done' AND title LIKE 'crowd%'").fetchone():
            break
        time.sleep(0.05)
    told = connection.execute("SELECT count(*) FROM notifications").fetchone()[0]
    connection.close()
    return int(told)


def _peak_mb(pid: int) -> float:
    """Return the most that any process of the worker has used so far."""
    workers = [one for one in psutil.Process(pid).children() if "pilothouse worker" in one.cmdline()]
    family = [process for one in workers for process in (one, *one.children(recursive=True))]
    return max(_high_water_mb(process.pid) for process in family)


def _high_water_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _toasts() -> list[Figure]:
    """Report a failure after the other, each of a workflow of its own, and note when its toast is there."""
    from playwright.sync_api import sync_playwright

    with servers.console() as console, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        context = browser.new_context()
        context.add_cookies(
            [{"name": "pilothouse_session", "value": sign_in(console), "url": f"http://127.0.0.1:{console.port}"}]
        )
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{console.port}/tokens/")
        page.evaluate(SEEN)
        sent = {}
        for number in range(EVENTS):
            name = f"toast-{number}"
            sent[name] = time.time() * 1000
            _fail(console, name)
            page.wait_for_function("n => (window.seen || []).length > n", arg=number, timeout=30_000)
            page.wait_for_timeout(137 * (number % 8))  # so that events fall anywhere between two questions of the bell
        seen = {title.split()[0]: at for title, at in page.evaluate("window.seen")}
        browser.close()
    spent = [seen[name] - at for name, at in sent.items()]
    return [
        at_most("P8", f"from the report to the toast, p95 of {EVENTS}", percentile(spent, 0.95), TOAST_MS, unit="ms"),
        at_most("P8", f"from the report to the toast, p50 of {EVENTS}", percentile(spent, 0.5), TOAST_MS, unit="ms"),
    ]
