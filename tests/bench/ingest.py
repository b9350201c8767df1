"""P1, P2, P13: signals over HTTP into the default SQLite start, beside raw SQLite and an empty route."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.bench import load, records, servers
from tests.bench.figures import Figure, at_least, at_most

BATCHES = 120
SINGLES = 4_000
ROUNDS = 3
PEER_RECORDS = 1_430  # MLflow 3, records/s that can be queried afterwards: the best peer of bar.md


def batches(_rows: int) -> list[Figure]:
    """P1: batches of 500 mixed signals, committed and queryable when answered; raw SQLite in between."""
    with servers.console() as console, tempfile.TemporaryDirectory() as folder:
        ours, raw = [], []
        for _ in range(ROUNDS):
            raw.append(records.raw_sqlite(Path(folder), 60)[0])
            prepared = [load.prepare("/api/ingest", body, console.token) for body in records.bodies(BATCHES)]
            ours.append(BATCHES * records.BATCH / load.run(console.port, prepared, 2))
    best, limit = max(ours), max(raw)
    peer = at_least("P1", "the same, beside the best peer", best, PEER_RECORDS, unit="records/s", share=20, peer="MLflow 3")
    return [at_least("P1", "ingest, 500 a request", best, limit, unit="records/s", share=0.5, peer="raw SQLite"), peer]


def single_signals(_rows: int) -> list[Figure]:
    """P2: one signal a request from 8 clients, beside an empty route on the same server."""
    with servers.console() as console, servers.empty_route() as port:
        ours, empty = [], []
        for number in range(ROUNDS):
            found = records.mixed(SINGLES, seed=100 + number)
            prepared = [
                load.prepare("/api/ingest", json.dumps({"signals": [one]}).encode(), console.token) for one in found
            ]
            ours.append(SINGLES / load.run(console.port, prepared, 8))
            empty.append(SINGLES / load.run(port, [load.prepare("/", b"{}")] * SINGLES, 8))
    what = "ingest, 1 a request, 8 clients"
    return [at_least("P2", what, max(ours), max(empty), unit="requests/s", share=0.5, peer="empty Flask route")]


def stored_bytes(_rows: int) -> list[Figure]:
    """P13: stored bytes a record, indexes included, beside the raw table's."""
    count = 200
    with servers.console() as console, tempfile.TemporaryDirectory() as folder:
        before = _size(console.folder)
        prepared = [load.prepare("/api/ingest", body, console.token) for body in records.bodies(count)]
        load.run(console.port, prepared, 2)
        ours = (_size(console.folder) - before) / (count * records.BATCH)
        raw = records.raw_sqlite(Path(folder), count)[1]
    figure = at_most("P13", "stored bytes a record", ours, 1.3 * raw, unit="bytes")
    return [figure]


def _size(folder: Path) -> int:
    """Return the size of the database with its log folded in."""
    import sqlite3

    connection = sqlite3.connect(folder / "pilothouse.db", timeout=30)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = connection.execute("PRAGMA page_count").fetchone()[0] - connection.execute("PRAGMA freelist_count").fetchone()[0]
    size = pages * connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    return int(size)
