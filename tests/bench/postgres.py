"""P3: batches into PostgreSQL with two web processes, beside COPY of the raw record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from tests.bench import load, records, servers
from tests.bench.figures import Figure, at_least
from tests.conftest import Postgres

BATCHES = 120
ROUNDS = 2
COPY_BATCH = 512


def batches(_rows: int) -> list[Figure]:
    """Run two web processes on one PostgreSQL and one Valkey; COPY in between."""
    with tempfile.TemporaryDirectory() as home_, _postgres(Path(home_)) as url, tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PILOTHOUSE_DATABASE_URL": url, "PILOTHOUSE_DATA_DIR": folder}
        with servers.console(Path(folder), PILOTHOUSE_DATABASE_URL=url) as console:
            port = servers.free_port()
            second = _second_web(environ, port, Path(folder))
            try:
                servers.wait_for(f"http://127.0.0.1:{port}/login", second)
                ours, limit = [], []
                for _ in range(ROUNDS):
                    limit.append(_copy(url))
                    prepared = [load.prepare("/api/ingest", body, console.token) for body in records.bodies(BATCHES)]
                    ours.append(BATCHES * records.BATCH / load.run([console.port, port], prepared, 4))
            finally:
                second.send_signal(signal.SIGTERM)
                second.wait(30)
    what = "ingest into PostgreSQL, 2 web processes"
    return [at_least("P3", what, max(ours), max(limit), unit="records/s", share=0.5, peer="COPY of 512")]


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    server = Postgres(folder)
    try:
        yield server.url(server.database())
    finally:
        server.stop()


def _second_web(environ: dict[str, str], port: int, folder: Path) -> subprocess.Popen[str]:
    from pilothouse import embedded, home

    environ = {**home.environment(environ), "PILOTHOUSE_REDIS_URL": embedded.url(folder)}
    command = [str(Path(sys.executable).parent / "pilothouse"), "web", "--port", str(port)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)


def _copy(url: str) -> float:
    """Return rows a second of COPY into a table of 20 columns with 4 indexes, in batches of 512, each committed."""
    groups = [[records.raw_row() for _ in range(COPY_BATCH)] for _ in range(60)]
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as connection:
        columns = ", ".join(f"c{number} text" for number in range(records.COLUMNS))
        connection.execute("DROP TABLE IF EXISTS raw")
        connection.execute(f"CREATE TABLE raw ({columns}, PRIMARY KEY (c0))".encode())
        for column in ("c1", "c2", "c3"):
            connection.execute(f"CREATE INDEX ON raw ({column}, c3)".encode())
        begun = time.perf_counter()
        for rows in groups:
            with connection.cursor().copy("COPY raw FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        spent = time.perf_counter() - begun
        connection.execute("DROP TABLE raw")
    return len(groups) * COPY_BATCH / spent


