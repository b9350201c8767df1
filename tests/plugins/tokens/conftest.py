"""What the tests of tokens share: a maker of usage signals and short ways to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from pilothouse.db import db
from pilothouse.runtime import runtime
from pilothouse.sdk import Event, Reaction
from pilothouse_executions.events import UsageCorrected
from pilothouse_tokens.events import BudgetCrossed, Repriced, Unpriced

Maker = Callable[..., dict[str, Any]]


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application without what other tests stored."""
    return restored_app


@pytest.fixture
def either_app(restored_either_app: Flask) -> Flask:
    """Return the module's application on either database as it was migrated."""
    return restored_either_app


@pytest.fixture
def usage() -> Maker:
    """Make a usage signal: 1,000 prompt and 100 completion tokens of gpt-4o, if not told otherwise."""

    def make(key: str, **fields: Any) -> dict[str, Any]:
        plain = {"model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 100}
        return {"type": "token_usage", "id": key, **plain, **fields}

    return make


@pytest.fixture
def execution() -> Maker:
    """Make an execution signal."""

    def make(key: str, **fields: Any) -> dict[str, Any]:
        return {"type": "execution", "id": key, "workflow": "nightly", "status": "running", **fields}

    return make


@pytest.fixture
def totals() -> Callable[[Any], dict[str, Any]]:
    """Return the totals of the last 30 days."""
    return lambda api: api.get("/api/tokens/usage?range=30d").json["totals"]


@pytest.fixture
def lines() -> Callable[..., dict[str | None, dict[str, Any]]]:
    """Return the breakdown of the last 30 days by key."""

    def read(api: Any, by: str, **query: Any) -> dict[str | None, dict[str, Any]]:
        answer = api.get("/api/tokens/breakdown", query_string={"range": "30d", "by": by, **query})
        assert answer.status_code == 200, answer.text
        return {line["key"]: line for line in answer.json["data"]}

    return read


@pytest.fixture
def rows() -> Callable[[str], list[dict[str, Any]]]:
    """Read rows with SQL, past all code that is under test."""

    def read(statement: str) -> list[dict[str, Any]]:
        with db.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

    return read


@pytest.fixture
def published(app: Flask) -> Iterator[Callable[[type[Event]], list[Any]]]:
    """Return the events of a type that were published since the start of the test, through reactions of our own."""
    registry = runtime().registry
    before = {kind: list(reactions) for kind, reactions in registry._reactions.items()}
    seen: list[Event] = []
    for kind in (Unpriced, BudgetCrossed, Repriced, UsageCorrected):
        reaction = Reaction(f"tokens.test_{kind.__name__}", kind, seen.append, when="now")
        registry._reactions.setdefault(kind, []).append(("tokens", reaction))
    yield lambda kind: [event for event in seen if type(event) is kind]
    registry._reactions = before
