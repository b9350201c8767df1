"""What the tests of executions share: short ways to send signals and to look at rows and measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from pilothouse.contract.recording import Source
from pilothouse.db import db
from pilothouse.measure_reads import read_totals
from pilothouse.outcomes import Outcome
from pilothouse.runtime import runtime

NOON = 1_700_135_000_000  # 2023-11-16, in the middle of a minute


class Store:
    """Sends signals to the active application and reads what became of them."""

    def send(self, *signals: dict[str, Any], token: str | None = None, edit: bool = False) -> Outcome:
        """Send signals in one request and return what became of them."""
        items, outcome = runtime().reader.read_json(json.dumps({"signals": signals}).encode())
        assert not outcome.rejected, outcome.rejected
        outcome = runtime().ingest.submit(items, Source(token, "test", edit), outcome)
        assert not outcome.rejected, outcome.rejected
        return outcome

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Return rows as dicts."""
        db.session.rollback()
        return [dict(row) for row in db.session.execute(text(statement), values).mappings()]

    def run(self, execution_id: str) -> dict[str, Any]:
        """Return an execution's row with its workflow's name."""
        statement = "SELECT e.*, w.name AS workflow FROM executions e LEFT JOIN workflows w ON w.id = e.workflow_id"
        return self.rows(f"{statement} WHERE e.id = :id", id=execution_id)[0]

    def counted(self) -> dict[tuple[str | None, ...], int]:
        """Return the measure of executions by workflow, status, agent and environment."""
        found = read_totals("executions.count", 0, NOON * 2)
        return {key: entry.count for key, entry in found.items() if entry.count}

    def recounted(self) -> dict[tuple[str | None, ...], int]:
        """Count the rows by the same."""
        found = self.rows(
            "SELECT w.name AS workflow, e.status, e.agent, e.environment, count(*) AS number FROM executions e"
            " LEFT JOIN workflows w ON w.id = e.workflow_id GROUP BY w.name, e.status, e.agent, e.environment"
        )
        return {(row["workflow"], row["status"], row["agent"], row["environment"]): row["number"] for row in found}

    def timed(self) -> dict[tuple[str | None, ...], tuple[int, int]]:
        """Return the measure of durations: their number and their sum in ms, by the same."""
        found = read_totals("executions.duration_ms", 0, NOON * 2)
        return {key: (entry.count, entry.total // 1_000) for key, entry in found.items() if entry.count}

    def retimed(self) -> dict[tuple[str | None, ...], tuple[int, int]]:
        """Sum up the rows by the same."""
        found = self.rows(
            "SELECT w.name AS workflow, e.status, e.agent, e.environment, count(*) AS number,"
            " sum(CASE WHEN e.finished_at > e.started_at THEN e.finished_at - e.started_at ELSE 0 END) AS total"
            " FROM executions e LEFT JOIN workflows w ON w.id = e.workflow_id"
            " WHERE e.status IN ('succeeded', 'failed', 'cancelled', 'timed_out')"
            " AND e.started_at IS NOT NULL AND e.finished_at IS NOT NULL"
            " GROUP BY w.name, e.status, e.agent, e.environment"
        )
        return {(r["workflow"], r["status"], r["agent"], r["environment"]): (r["number"], int(r["total"])) for r in found}

    def check(self) -> None:
        """Check that the measures are what a recount of the rows says."""
        assert self.counted() == self.recounted()
        assert self.timed() == self.retimed()


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application as it was migrated."""
    return restored_app


@pytest.fixture
def either_app(restored_either_app: Flask) -> Flask:
    """Return the module's application on either database as it was migrated."""
    return restored_either_app


@pytest.fixture
def store(app: Any) -> Store:
    """Return a store over a fresh SQLite file."""
    return Store()


@pytest.fixture
def either_store(either_app: Any) -> Store:
    """Return a store over either database."""
    return Store()


def execution(name: str = "a", status: str = "running", /, **fields: Any) -> dict[str, Any]:
    return {"type": "execution", "id": name, "workflow": "w", "status": status, **fields}


def step(name: str = "s", run: str = "a", /, **fields: Any) -> dict[str, Any]:
    return {"type": "step", "id": name, "execution_id": run, "name": "fetch", **fields}


def error(name: str = "e", run: str | None = "a", /, **fields: Any) -> dict[str, Any]:
    return {"type": "error", "id": name, "execution_id": run, "error_type": "ValueError", "message": "m", **fields}


def usage(name: str = "u", run: str | None = "a", /, **fields: Any) -> dict[str, Any]:
    return {
        "type": "token_usage", "id": name, "execution_id": run, "model": "m", "prompt_tokens": 10, "completion_tokens": 5,
        **fields,
    }  # fmt: skip


Maker = Callable[..., dict[str, Any]]


@pytest.fixture(name="execution")
def execution_fixture() -> Maker:
    """Return what makes the signal of an execution."""
    return execution


@pytest.fixture(name="step")
def step_fixture() -> Maker:
    """Return what makes the signal of a step."""
    return step


@pytest.fixture(name="error")
def error_fixture() -> Maker:
    """Return what makes the signal of an error."""
    return error


@pytest.fixture(name="usage")
def usage_fixture() -> Maker:
    """Return what makes the signal of a usage."""
    return usage
