"""P5: the lists of executions and errors at a million rows, with and without filters, beside ten thousand rows."""

from __future__ import annotations

import time

from flask import Flask
from tests.bench import stores
from tests.bench.figures import Figure, at_most, percentile

CALLS = 60
SMALL = 10_000
LISTS = (
    "/api/executions",
    "/api/executions?status=failed",
    "/api/executions?workflow=workflow-3",
    "/api/executions?workflow=workflow-3&status=failed",
    "/api/executions?agent=agent-5",
    "/api/executions?environment=production&status=running",
    "/api/executions?q=workflow-1",
    "/api/executions?since={since}&until={until}",
    "/api/errors",
    "/api/errors?severity=high",
    "/api/errors?resolved=false",
    "/api/errors?workflow=workflow-3",
    "/api/errors?q=KeyError",
    "/api/errors/groups",
)
SEARCH = "/api/executions?q={part}"  # a part of an id: the one search that no index serves


def list_pages(rows: int) -> list[Figure]:
    """Time each list in the process, without a network, at both sizes."""
    small, large = _measure(SMALL), _measure(rows)
    figures = []
    for path in small:
        slow = at_most("P5", f"{path} at {rows:,} rows, p95", large[path], 25, unit="ms", digits=1)
        ratio = large[path] / small[path]
        grown = Figure("P5", f"{path} beside {SMALL:,} rows", f"{large[path]:.1f} ms", f"{small[path]:.1f} ms", ratio, "≤ 1.5", ratio <= 1.5)
        figures += [slow, grown]
    return figures


def _measure(rows: int) -> dict[str, float]:
    from pilothouse import clock
    from pilothouse.db import unit_of_work
    from pilothouse.identity.access_tokens import create_token

    with stores.filled(rows) as (app, _):
        with unit_of_work():
            token = create_token("bench", ["read"])[1]
        now = clock.now()
        values = {"since": str(now - 7 * clock.DAY), "until": str(now - 6 * clock.DAY), "part": "zzzzzz"}
        return {path: _p95(app, path.format(**values), token) for path in (*LISTS, SEARCH)}


def _p95(app: Flask, path: str, token: str) -> float:
    client = app.test_client()
    spent = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
        spent.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, answer.text
    return percentile(spent[5:], 0.95)
