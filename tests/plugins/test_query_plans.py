"""Every page and endpoint of tokens and telemetry reads roll-ups by their key, and rows through an index, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from tests.bench import large

from pilothouse.db import db, unit_of_work
from pilothouse.identity.access_tokens import create_token
from pilothouse.testing import Api, let_go, open_browser_session

CALLS = 4_000
RAW = ("executions", "steps", "token_usage", "events", "errors", "execution_usage")
BADGE = re.compile(r"^SELECT count\(\*\) AS count_1\s+FROM executions\s+WHERE executions.status = ")  # of the sidebar
ROLLUPS = (
    "/api/telemetry/summary?range=90d",
    "/api/telemetry/components?range=90d",
    "/api/analytics/measures",
    "/api/analytics/trends?measure=tokens.cost_usd&by=model&range=90d&interval=day&compare=previous",
    "/api/analytics/trends?measure=tokens.cost_usd&by=model&range=90d&interval=day&tz=Asia/Kolkata",
    "/api/analytics/trends?measure=token_callers.cost_usd&filter=user:user-7&range=30d&interval=hour",
    "/api/analytics/trends?measure=executions.duration_ms&by=workflow&filter=status:failed&range=30d",
    "/api/analytics/trends?measure=events.users&range=90d&interval=week",
    "/api/analytics/performance?range=90d",
    "/api/analytics/export.csv?measure=tokens.cost_usd&by=workflow&range=90d&interval=hour",
    "/api/tokens/usage?range=90d",
    "/api/tokens/usage?range=12h&interval=minute",
    *(f"/api/tokens/breakdown?by={by}&range=90d" for by in ("model", "provider", "agent", "workflow", "user", "key", "day")),
    "/api/tokens/export.csv?range=90d",
    "/api/tokens/recommendations",
    "/analytics/?range=12w",
    *(f"/analytics/?range=12w&tab={tab}" for tab in ("models", "agents", "components", "measures")),
    "/analytics/?range=7d&workflow=workflow-3&compare=week",
    "/analytics/table.csv?range=12w",
    "/analytics/chart.csv?range=12w&chart=executions",
    "/tokens/?range=12w",
    "/tokens/?range=12w&by=user",
    "/tokens/?tab=budgets",
    "/tokens/?tab=prices",
    "/api/tokens/prices",
    "/api/tokens/repricings",
    "/api/tokens/budgets",
)
# Who took part is counted from a row a person; lists show rows, of which they read a page through an index.
PEOPLE = ("/api/analytics/engagement?range=90d", "/analytics/?range=12w&tab=people")
LISTS = (
    "/api/telemetry/events",
    "/api/telemetry/events?component=component-3",
    "/api/telemetry/events?ok=false",
    "/analytics/events?component=component-3",
    "/api/tokens/records?range=90d",
    "/api/tokens/records?range=90d&model=gpt-5",
    "/api/tokens/records?range=90d&user=user-7",
    "/api/tokens/records?range=90d&workflow=workflow-3&without=provider",
    "/tokens/?tab=calls&range=12w&agent=agent-3",
)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[large.Store]:
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    folder = tmp_path_factory.mktemp("plans")
    made = large.make(folder, large.stage(folder / "staged.db", CALLS), server.url(server.database()) if server else "")
    made.app.extensions["pilothouse"].reporter.close()
    yield made
    let_go(made.app)


@pytest.fixture
def api(store: large.Store) -> Iterator[Api]:
    with store.app.app_context():
        with unit_of_work():
            token = create_token("plans", ["read"])[1]
        client: Any = store.app.test_client()
        client.set_cookie("pilothouse_session", open_browser_session("owner"))
        yield Api(client, token)
        db.session.remove()


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Collect every SELECT that is run in the block, with its parameters."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            found.append((statement, parameters))

    engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def run(api: Api, path: str) -> list[tuple[str, Any]]:
    with statements() as found:
        answer = api.get(path) if path.startswith("/api") else api.client.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.data
    return found


def steps(statement: str, parameters: Any) -> list[str]:
    """Return the steps of a statement's plan: "SCAN table" is one that reads all of it."""
    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            return [re.sub(r"^(SCAN|SEARCH) r\b", r"\1 measure_rollups", row.detail) for row in rows]
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar()
        return list(nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[str]:
    if "Relation Name" in plan:
        kind = "SCAN" if plan["Node Type"] == "Seq Scan" else "SEARCH"
        yield f"{kind} {plan['Relation Name']} {plan.get('Index Cond', '')}"
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def check_rollups(statement: str, parameters: Any) -> None:
    if "measure_rollups" in statement:
        read = [step for step in steps(statement, parameters) if "measure_rollups" in step]
        assert read
        assert all(step.startswith("SEARCH") and "cut_id" in step and "resolution" in step for step in read), read


@pytest.mark.parametrize("path", [*ROLLUPS, *PEOPLE])
def test_figures_come_from_roll_ups_by_their_key_and_from_no_row(api, path):
    for statement, parameters in run(api, path):
        if BADGE.search(statement):
            assert all(step.startswith("SEARCH") for step in steps(statement, parameters))
            continue
        assert not re.search(rf'\b(FROM|JOIN)\s+"?({"|".join(RAW)})\b', statement), statement
        check_rollups(statement, parameters)


@pytest.mark.parametrize("path", LISTS)
def test_lists_read_their_rows_through_an_index(api, path):
    for statement, parameters in run(api, path):
        check_rollups(statement, parameters)
        for step in steps(statement, parameters):
            if any(re.match(rf"SCAN {table}\b", step) for table in RAW):
                assert "USING" in step  # SQLite calls it a scan, too, where an index gives the order and the limit ends it
                assert "LIMIT" in statement


def test_no_endpoint_and_no_page_is_left_out(api):
    rules = {
        rule.rule
        for rule in api.client.application.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and rule.endpoint.partition(".")[0] in {"tokens", "tokens_api", "telemetry", "telemetry_api"}
    }
    assert {path.partition("?")[0] for path in (*ROLLUPS, *PEOPLE, *LISTS)} == {rule for rule in rules if "<" not in rule}
