"""P6: trends, breakdowns and performance over 90 days, of ten million model calls beside a hundred thousand, on both databases.

Both stores have as many buckets and as many workflows, models and people; that the reads touch roll-ups only is tested in
tests/plugins/test_query_plans.py.
"""

from __future__ import annotations

import time

from flask import Flask
from tests.bench import large
from tests.bench.figures import Figure, at_most, percentile

from pilothouse.db import unit_of_work
from pilothouse.identity.access_tokens import create_token

SMALL = 100_000
TIMES = 10  # records of the large store for each row that `--rows` names: ten million by default
CALLS = 40
MOST_MS = 50.0
READS = (
    ("trend by model", "/api/analytics/trends?measure=tokens.cost_usd&by=model&range=90d&interval=day"),
    ("the same with the period before", "/api/analytics/trends?measure=tokens.cost_usd&by=model&range=90d&interval=day&compare=previous"),
    ("cost by model", "/api/tokens/breakdown?by=model&range=90d"),
    ("cost by workflow", "/api/tokens/breakdown?by=workflow&range=90d"),
    ("cost by day", "/api/tokens/breakdown?by=day&range=90d"),
    ("cost by user, the dearest 50 of 5,000", "/api/tokens/breakdown?by=user&range=90d&top=50"),
    ("one user by the hour, 30 days", "/api/analytics/trends?measure=token_callers.cost_usd&filter=user:user-7&range=30d&interval=hour"),
    ("performance", "/api/analytics/performance?range=90d"),
)  # fmt: skip
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def ninety_days(rows: int) -> list[Figure]:
    """Time each read in the process, without a network, at both sizes, on both databases."""
    records = rows * TIMES
    figures = []
    for database, name in NAMES.items():
        few, many = _measure(SMALL, database), _measure(records, database)
        for what, _ in READS:
            figures.append(at_most("P6", f"{name}, {what}, p95", many[what], MOST_MS, unit="ms", digits=1))
            ratio = many[what] / few[what]
            beside = f"{name}, {what}, beside {SMALL:,} records"
            figures.append(Figure("P6", beside, f"{many[what]:.1f} ms", f"{few[what]:.1f} ms", ratio, "≤ 1.5", ratio <= 1.5))
    return figures


def _measure(records: int, database: str) -> dict[str, float]:
    with large.store(records, database) as store:
        with unit_of_work():
            token = create_token("bench", ["read"])[1]
        return {what: _p95(store.app, path, token) for what, path in READS}


def _p95(app: Flask, path: str, token: str) -> float:
    client = app.test_client()
    spent = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
        spent.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, answer.text
    return percentile(spent[5:], 0.95)
