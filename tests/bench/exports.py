"""P11: a million lines as CSV out of a store of ten million calls, on both databases: first byte and the web process's memory."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.bench import large, servers
from tests.bench.figures import Figure, at_most
from tests.bench.trends import NAMES, TIMES

from pilothouse.clock import MINUTE, now
from pilothouse.db import db

FIRST_S, MORE_MB = 1.0, 50.0
POINTS, TOP = 9_900, 100  # of a trend by the minute; the rest of the people is one series more


@dataclass(frozen=True, slots=True)
class Export:
    """How a download went."""

    lines: int
    first_s: float
    whole_s: float
    more_mb: float


def exports(rows: int) -> list[Figure]:
    """Download executions and a trend, of `rows` lines each."""
    figures = []
    for database, name in NAMES.items():
        with large.store(rows * TIMES, database) as store:
            db.engine.dispose()
            with servers.console(store.folder, **store.settings) as console:
                for what, path in _paths(rows):
                    found = download(console, path)
                    told = f"{name}, {what}, {found.lines:,} lines in {found.whole_s:,.0f} s"
                    figures.append(at_most("P11", f"{told}: first byte", found.first_s, FIRST_S, unit="s", digits=2))
                    figures.append(at_most("P11", f"{told}: more memory", found.more_mb, MORE_MB, unit="MB", digits=1))
    return figures


def _paths(rows: int) -> list[tuple[str, str]]:
    share = rows / (rows * TIMES / large.CALLS_A_RUN)
    since = now() - round(large.SPAN * share)
    points = round(POINTS * min(1.0, rows / 1_000_000))
    trend = f"measure=token_callers.cost_usd&by=user&top={TOP}&interval=minute&since={now() - points * MINUTE}&until={now()}"
    return [
        ("executions", f"/api/executions/export.csv?since={since}"),
        ("a trend by user", f"/api/analytics/export.csv?{trend}"),
    ]


def download(console: servers.Console, path: str) -> Export:
    """Read an export to its end; memory is what the web process holds beside the pages of files, at its highest."""
    web = _web(console)
    _ask(console, path, stop=1)  # what is loaded and compiled once is no export's
    before, highest = _held(web), [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            highest.append(_held(web))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        lines, first, whole = _ask(console, path)
    finally:
        ended.set()
        watcher.join()
    return Export(lines - 1, first, whole, (max(highest) - before) / 1e6)


def _ask(console: servers.Console, path: str, *, stop: int = 0) -> tuple[int, float, float]:
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=600)
    begun = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {console.token}"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    lines, first = 0, 0.0
    while part := answer.read1(1 << 16):
        first = first or time.perf_counter() - begun
        lines += part.count(b"\n")
        if stop and lines >= stop:
            break
    connection.close()
    return lines, first, time.perf_counter() - begun


def _web(console: servers.Console) -> psutil.Process:
    """Return the web process of a console."""
    family = psutil.Process(console.process.pid).children(recursive=True)
    return next(one for one in family if one.cmdline()[0].startswith("pilothouse web "))


def _held(process: psutil.Process) -> int:
    """Return the bytes of memory that are the process's own; SQLite maps its file, and those pages are the system's cache."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in text.splitlines() if line.startswith("RssAnon")))
