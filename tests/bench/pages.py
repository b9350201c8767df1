"""P7 and P12: every console page in Chromium at a million rows, and what an open console asks for while nothing changes."""

from __future__ import annotations

import http.cookiejar
import shutil
import sqlite3
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.bench import load, records, servers, stores
from tests.bench.figures import Figure, at_most, percentile

PATHS = (
    "/executions/", "/executions/{execution}", "/errors/", "/errors/{group}", "/tokens/", "/analytics/", "/sources/",
    "/notifications/", "/notifications/preferences", "/keys/", "/team/", "/settings/plugins", "/settings/system", "/api/docs",
    "/welcome/",
)  # fmt: skip
CHROMIUM = "/usr/bin/chromium"
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
LOAD_MS, REQUESTS, COLD_KB, WARM_KB = 400, 5, 45, 16


def console_pages(rows: int) -> list[Figure]:
    """Load each page with a cold and with a warm cache; requests, bytes over the wire, time to the load event."""
    from playwright.sync_api import sync_playwright

    with stores.filled(rows) as (_, folder):
        copied = Path(shutil.copytree(folder, folder.parent / f"{folder.name}-served"))
    figures: list[Figure] = []
    try:
        with servers.console(copied) as console, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
            cookie = sign_in(console)
            for path in _paths(copied):
                figures += _page(browser, console.port, cookie, path)
            browser.close()
    finally:
        shutil.rmtree(copied)
    return figures


def _paths(folder: Path) -> list[str]:
    """Return the addresses of the pages, those of one execution and one error group among them."""
    with closing(sqlite3.connect(folder / "pilothouse.db")) as connection:
        execution, group = (connection.execute(f"SELECT id FROM {t} LIMIT 1").fetchone()[0] for t in ("executions", "error_groups"))
    return [path.format(execution=execution, group=group) for path in PATHS]


def _page(browser: Any, port: int, cookie: str, path: str) -> list[Figure]:
    colds, warms = [], []
    for _ in range(3):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "pilothouse_session", "value": cookie, "url": f"http://127.0.0.1:{port}"}])
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        colds.append(_load(page, session, f"http://127.0.0.1:{port}{path}"))
        warms.append(_load(page, session, f"http://127.0.0.1:{port}{path}"))
        context.close()
    if colds[0] is None:
        return []
    cold = min((one for one in colds if one), key=lambda one: one[2])
    warm = min((one for one in warms if one), key=lambda one: one[2])
    return [
        at_most("P7", f"{path} requests, cold", cold[0], REQUESTS, unit="requests"),
        at_most("P7", f"{path} over the wire, cold", cold[1] / 1000, COLD_KB, unit="KB", digits=1),
        at_most("P7", f"{path} over the wire, warm", warm[1] / 1000, WARM_KB, unit="KB", digits=1),
        at_most("P7", f"{path} load, cold", cold[2], LOAD_MS, unit="ms"),
    ]


def _load(page: Any, session: Any, url: str) -> tuple[int, float, float] | None:
    sizes: list[float] = []
    # what came without a request (a data: address inside of the page) has no bytes of its own
    listener = lambda event: sizes.append(event["encodedDataLength"]) if event["encodedDataLength"] else None  # noqa: E731
    session.on("Network.loadingFinished", listener)
    answer = page.goto(url, wait_until="load")
    spent = page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
    page.wait_for_timeout(150)
    session.remove_listener("Network.loadingFinished", listener)
    if answer.status == 404:
        return None
    return len(sizes), sum(sizes), spent


def sign_in(console: servers.Console) -> str:
    """Use the console's sign-in link and return the session's cookie."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    link = console.link or _owner_link(console)
    opener.open(urllib.request.Request(link, method="POST", data=b""))
    return next(cookie.value or "" for cookie in jar if cookie.name == "pilothouse_session")


def _owner_link(console: servers.Console) -> str:
    import os
    import subprocess
    import sys

    command = [str(Path(sys.executable).parent / "pilothouse"), "owner", "owner@localhost"]
    env = {**os.environ, "PILOTHOUSE_DATA_DIR": str(console.folder), "PILOTHOUSE_BASE_URL": f"http://127.0.0.1:{console.port}"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def open_console(_rows: int) -> list[Figure]:
    """P12: a poll of the executions page while nothing changes: status, bytes, time."""
    with servers.console() as console:
        load.run(console.port, [load.prepare("/api/ingest", body, console.token) for body in records.bodies(4)], 1)
        cookie = sign_in(console)
        headers = {"Cookie": f"pilothouse_session={cookie}", "X-Ph-Fragment": "rows"}
        time.sleep(8)  # our own reports of the sign-in have settled
        _, etag, _ = _ask(console.port, headers)
        spent, statuses = [], []
        for _ in range(200):
            status, etag_now, took = _ask(console.port, {**headers, "If-None-Match": etag})
            etag = etag_now or etag
            spent.append(took)
            statuses.append(status)
    share = statuses.count(304) / len(statuses)
    return [
        Figure("P12", "polls answered 304 while nothing changed", f"{share:.0%}", "100%", share, "≥ 0.95", share >= 0.95),
        at_most("P12", "a 304 poll, p95", percentile(spent, 0.95), 10, unit="ms", digits=1),
    ]


def _ask(port: int, headers: dict[str, str]) -> tuple[int, str, float]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    begun = time.perf_counter()
    connection.request("GET", "/executions/", headers=headers)
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter() - begun) * 1000
    connection.close()
    return answer.status, answer.headers.get("ETag", ""), took


