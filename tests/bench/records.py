"""What benchmarks send and store: mixed signals as a real agent reports them, and raw rows of the same weight."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

from pilothouse.clock import new_id, now

BATCH = 500
MODELS = ("gpt-5", "gpt-5-mini", "claude-sonnet-4-5", "claude-haiku-4-5")
COLUMNS = 20


def mixed(count: int = BATCH, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return signals of whole runs: an execution with three steps, a model call and an event each; one run in 20 fails."""
    chance = random.Random(seed)
    signals: list[dict[str, Any]] = []
    while len(signals) < count:
        signals += _run(chance)
    return signals[:count]


def _run(chance: random.Random) -> list[dict[str, Any]]:
    at = now() - chance.randrange(3_600_000)
    failed = chance.random() < 0.05
    run, spent = new_id(), chance.randrange(200, 9_000)
    execution: dict[str, Any] = {
        "type": "execution", "id": run, "workflow": f"workflow-{chance.randrange(20)}", "status": "failed" if failed else "succeeded",
        "started_at": at, "finished_at": at + spent, "trigger": chance.choice(("schedule", "api", "webhook")),
        "agent": f"agent-{chance.randrange(8)}", "user": f"user-{chance.randrange(200)}", "environment": "production",
        "release": "2026.11.3", "input": {"question": "Which orders are late, and why?", "limit": 50},
        "output": {"answer": "Three orders are late because of the carrier."}, "attributes": {"region": "eu", "attempt": 1},
    }  # fmt: skip
    if failed:
        execution["error"] = {"error_type": "TimeoutError", "message": f"no answer within {spent} ms"}
    steps = [
        {
            "type": "step", "id": new_id(), "execution_id": run, "name": name, "kind": kind, "status": "succeeded",
            "started_at": at + place * 40, "finished_at": at + place * 40 + 30, "input": {"n": place}, "output": {"ok": True},
        }
        for place, (name, kind) in enumerate((("plan", "agent"), ("search orders", "tool"), ("answer", "llm")))
    ]  # fmt: skip
    usage = {
        "type": "token_usage", "id": new_id(), "model": chance.choice(MODELS), "prompt_tokens": chance.randrange(200, 8_000),
        "completion_tokens": chance.randrange(20, 900), "execution_id": run, "cost_usd": "0.004200000", "at": at,
    }  # fmt: skip
    event = {
        "type": "event", "id": new_id(), "name": "order.viewed", "component": "orders", "user": execution["user"],
        "duration_ms": chance.randrange(5, 400), "ok": True, "at": at,
    }  # fmt: skip
    return [execution, *steps, usage, event]


def bodies(batches: int, *, size: int = BATCH) -> list[bytes]:
    """Return request bodies of `size` mixed signals each."""
    return [json.dumps({"signals": mixed(size, seed=number)}).encode() for number in range(batches)]


def raw_row() -> tuple[Any, ...]:
    """Return a 20-column record as a raw table would hold it."""
    at = now()
    return (new_id(), "workflow-7", "succeeded", at, "agent-3", "schedule", "user-77", "production", "2026.11.3", at, at + 900, at,
            1200, 300, 4_200_000, None, '{"region":"eu","attempt":1}', '{"question":"Which orders are late, and why?","limit":50}',
            '{"answer":"Three orders are late because of the carrier."}', 0)  # fmt: skip


def raw_sqlite(folder: Path, batches: int, size: int = BATCH) -> tuple[float, float]:
    """Insert raw rows with 4 indexes into SQLite (WAL, synchronous=FULL). Returns rows a second and bytes a row."""
    path = folder / "raw.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    names = [f"c{number}" for number in range(COLUMNS)]
    connection.execute(f"CREATE TABLE raw ({', '.join(names)}, PRIMARY KEY (c0))")
    for column in ("c1", "c2", "c3"):
        connection.execute(f"CREATE INDEX raw_{column} ON raw ({column}, c3)")
    connection.execute("CREATE INDEX raw_time ON raw (c3, c0)")
    groups = [[raw_row() for _ in range(size)] for _ in range(batches)]
    insert = f"INSERT INTO raw VALUES ({', '.join('?' * COLUMNS)})"
    begun = time.perf_counter()
    for rows in groups:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute("COMMIT")
    spent = time.perf_counter() - begun
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size_on_disk = path.stat().st_size
    path.unlink()
    return batches * size / spent, size_on_disk / (batches * size)
