"""The large stores of the benchmarks hold what ingest and compaction make of the same signals, on both databases."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.bench import large

from pilothouse.contract.recording import Source
from pilothouse.db import db
from pilothouse.measure_rollups import compact
from pilothouse.measure_sums import ROLLED, Sum
from pilothouse.measures import lag
from pilothouse.runtime import runtime
from pilothouse.signals import Event, Execution, TokenUsage
from pilothouse.testing import let_go

CALLS = 400
SCOPES = ("tokens", "token_callers", "executions", "events")
ROLLUPS = (
    "SELECT c.scope, c.names, r.resolution, r.at, s.members, r.body FROM measure_rollups r JOIN measure_cuts c ON c.id = r.cut_id "
    "JOIN measure_series s ON s.id = r.series_id AND s.cut_id = r.cut_id"
)
ORDERS = {"executions": "id", "token_usage": "id", "events": "id", "event_users": "name", "event_user_weeks": "week, name"}
OWN = {"seq", "workflow_id", "created_at", "heard_at", "levels", "price_id", "cost_reported", "input", "output", "trigger"}


def rows(table: str) -> list[dict[str, Any]]:
    with db.engine.connect() as connection:
        found = connection.execute(text(f"SELECT * FROM {table} ORDER BY {ORDERS[table]}")).mappings()
        return [{name: value for name, value in row.items() if name not in OWN} for row in found]


def rollups() -> dict[Any, Any]:
    with db.engine.connect() as connection:
        names = dict(connection.execute(text("SELECT id, name FROM measure_names")).all())
        found = connection.execute(text(ROLLUPS)).all()
    sums: dict[Any, Any] = {}
    for scope, cut, resolution, at, members, body in found:
        for name, rolled in ROLLED.decode(bytes(body)).items():
            read = Sum()
            read.add_rolled(rolled)
            sketch = (
                read.sketch.counts() if read.sketch is not None else read.things.write() if read.things is not None else None
            )
            if scope in SCOPES:
                sums[scope, cut, resolution, at, members, names[name]] = (read.count, read.total, sketch)
    return sums


def signals() -> list[Any]:
    found: list[Any] = []
    for row in rows("executions"):
        kept = ("id", "status", "started_at", "finished_at", "agent", "user", "environment", "release")
        number = int(row["id"].rpartition("-")[2]) - large.FIRST
        found.append(Execution(workflow=workflow_of(number), **{name: row[name] for name in kept}))
    for row in rows("token_usage"):
        kept = ("id", "execution_id", "model", "provider", "prompt_tokens", "completion_tokens", "cached_tokens", "workflow",
                "agent", "user", "key_id", "at")  # fmt: skip
        cost = None if row["cost_nano"] is None else str(Decimal(row["cost_nano"]) / 10**9)
        found.append(TokenUsage(cost_usd=cost, cache_write_tokens=0, reasoning_tokens=0, **{name: row[name] for name in kept}))
    for row in rows("events"):
        kept = ("id", "name", "component", "user", "session", "duration_ms", "at")
        found.append(Event(ok=bool(row["ok"]), **{name: row[name] for name in kept}))
    return found


def workflow_of(run: int) -> str:
    with db.engine.connect() as connection:
        name = connection.scalar(
            text("SELECT workflow FROM token_usage WHERE execution_id = :id LIMIT 1"), {"id": f"run-{large.FIRST + run}"}
        )
    return str(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    folder = tmp_path / "large"
    folder.mkdir()
    made = large.make(folder, large.stage(folder / "staged.db", CALLS), server.url(server.database()) if server else "")
    with made.app.app_context():
        yield made
    let_go(made.app)


def test_rows_and_roll_ups_are_those_of_ingest_and_compaction(store, app):
    with store.app.app_context():
        wanted, kept, sent = rollups(), {table: rows(table) for table in ORDERS}, signals()
    with app.app_context():
        outcome = runtime().ingest.submit(enumerate(sent), Source())
        assert not outcome.rejected
        compact()
        found = {table: rows(table) for table in ORDERS}
        assert lag() == 0
        assert rollups() == wanted
    for table, made in kept.items():
        assert found[table] == made
