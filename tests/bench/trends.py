"""P6: trends, breakdowns and performance over 90 days of roll-ups, of ten million calls and runs beside a hundred thousand.

Calls have the sizes of the Azure LLM inference traces of 2023 (Patel et al., "Splitwise", ISCA 2024; CC BY 4.0): their
prompt and completion tokens at every twentieth, for the chat and the code service. They go the way of all measures: deltas,
then compaction; raw rows are left out, since no figure here reads any, which `plans` checks.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from tests.bench.figures import Figure, at_most, percentile

from pilothouse import clock, measure_rollups, migrate
from pilothouse.db import db, unit_of_work
from pilothouse.identity.access_tokens import create_token
from pilothouse.measures import Deltas
from pilothouse.testing import count_queries, environment, make_app
from pilothouse_executions import counting as runs
from pilothouse_tokens import counting as calls

SMALL = 100_000
TIMES = 10  # records of the large store for each row that `--rows` names: ten million by default
CHUNK = 5_000
CALLS = 40
SPAN = 90 * clock.DAY
# What every twentieth of the requests needs, from the least to the most: prompt and completion tokens.
CHAT = (
    (2, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315, 1876, 2734, 4083, 14050),
    (7, 41, 54, 67, 77, 85, 91, 96, 103, 113, 129, 151, 177, 217, 384, 395, 400, 411, 424, 451, 1000),
)
CODE = (
    (3, 75, 147, 232, 386, 578, 770, 938, 1075, 1261, 1469, 1690, 1909, 2164, 2433, 2745, 3192, 3919, 5186, 7302, 7437),
    (6, 6, 7, 7, 8, 9, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24, 29, 39, 55, 90, 1899),
)
MODELS = (("gpt-5", "openai"), ("gpt-5-mini", "openai"), ("claude-sonnet-4-5", "anthropic"), ("claude-haiku-4-5", "anthropic"))
ROWS = ("executions", "steps", "token_usage", "events", "errors")
READS = (
    "/api/analytics/trends?measure=tokens.cost_usd&by=model&range=90d&interval=day",
    "/api/analytics/trends?measure=tokens.cost_usd&by=model&range=90d&interval=day&compare=previous",
    "/api/tokens/breakdown?by=model&range=90d",
    "/api/analytics/performance?range=90d",
)


def ninety_days(rows: int) -> list[Figure]:
    """Time each read in the process, without a network, at both sizes."""
    small, large = _measure(SMALL), _measure(rows * TIMES)
    figures = []
    for path, slow in large.items():
        figures.append(at_most("P6", f"{path} of {rows * TIMES:,} records, p95", slow, 50, unit="ms", digits=1))
        ratio = slow / small[path]
        grown = f"{path} beside {SMALL:,} records"
        figures.append(Figure("P6", grown, f"{slow:.1f} ms", f"{small[path]:.1f} ms", ratio, "≤ 1.5", ratio <= 1.5))
    return figures


def _measure(records: int) -> dict[str, float]:
    with filled(records) as app:
        with unit_of_work():
            token = create_token("bench", ["read"])[1]
        plans(app, token)
        return {path: _p95(app, path, token) for path in READS}


@contextmanager
def filled(records: int, url: str | None = None) -> Iterator[Flask]:
    """Yield an application with the roll-ups of so many calls and runs of the last 90 days, the oldest first."""
    with tempfile.TemporaryDirectory() as made:
        settings = {} if url is None else {"PILOTHOUSE_DATABASE_URL": url}
        app = make_app(environment(Path(made), **settings))
        with app.app_context():
            migrate.upgrade()
            chance, begun = random.Random(1), clock.now() - SPAN
            for start in range(0, records, CHUNK):
                _count(chance, [begun + place * SPAN // records for place in range(start, min(start + CHUNK, records))])
                measure_rollups.compact()
            yield app
            db.session.remove()
            db.engine.dispose()


def _count(chance: random.Random, moments: list[int]) -> None:
    with unit_of_work() as session:
        deltas = Deltas()
        calls.add_all(deltas, [_call(chance, at) for at in moments])
        for at in moments:
            runs.add(deltas, _run(chance, at), f"workflow-{chance.randrange(20)}")
        deltas.write(session.connection())


def _call(chance: random.Random, at: int) -> dict[str, Any]:
    (prompt, completion), (model, provider) = chance.choice((CHAT, CODE)), chance.choice(MODELS)
    sizes = [_between(chance, steps) for steps in (prompt, completion)]
    return {
        "at": at, "model": model, "provider": provider, "agent": f"agent-{chance.randrange(8)}",
        "workflow": f"workflow-{chance.randrange(20)}", "user": None, "key_id": None, "prompt_tokens": sizes[0],
        "completion_tokens": sizes[1], "cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0,
        "cost_nano": 1_250 * sizes[0] + 10_000 * sizes[1],
    }  # fmt: skip


def _between(chance: random.Random, steps: tuple[int, ...]) -> int:
    place = chance.random() * (len(steps) - 1)
    low, high = steps[int(place)], steps[int(place) + 1]
    return round(low + (place % 1) * (high - low))


def _run(chance: random.Random, at: int) -> dict[str, Any]:
    status = chance.choices(("succeeded", "failed", "timed_out", "cancelled"), (94, 4, 1, 1))[0]
    return {
        "status": status, "agent": f"agent-{chance.randrange(8)}", "environment": "production", "sorted_at": at,
        "started_at": at, "finished_at": at + int(chance.lognormvariate(9, 1)),
    }  # fmt: skip


def plans(app: Flask, token: str) -> None:
    """Check that the reads touch roll-ups, what waits for them, and no rows."""
    client = app.test_client()
    for path in READS:
        with count_queries() as statements:
            client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert not any(f"FROM {table}" in statement for statement in statements for table in ROWS), statements


def _p95(app: Flask, path: str, token: str) -> float:
    client = app.test_client()
    spent = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
        spent.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, answer.text
    return percentile(spent[5:], 0.95)
