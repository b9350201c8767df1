"""What failures had spent, on the page of their error group: failed executions only, priced calls only, each once."""

from __future__ import annotations

import re

import pytest

from pilothouse.testing import count_queries
from pilothouse_tokens import queries


@pytest.fixture
def group_page(api, as_role, drain):
    """Send signals and return the page of the only error group."""

    def read(*signals):
        api.send(*signals)
        drain()
        (group,) = api.get("/api/errors/groups").json["data"]
        return as_role("viewer").get(f"/errors/{group['id']}").text

    return read


def wasted(page):
    found = re.search(r"Spent in vain</span><span class=\"value\">([^<]*)", page)
    return found[1] if found else None


def error(key, run):
    return {"type": "error", "id": key, "error_type": "KeyError", "message": "k", "execution_id": run}


def test_what_failed_executions_spent_is_shown_once_each(group_page, usage, execution):
    page = group_page(
        execution("a", status="failed"), execution("b", status="timed_out"), execution("c", status="succeeded"),
        *(usage(f"u-{run}", execution_id=run, cost_usd="0.25") for run in "abc"),
        error("e1", "a"), error("e2", "a"), error("e3", "b"), error("e4", "c"),
    )  # fmt: skip
    assert wasted(page) == "$0.50"


def test_without_priced_calls_of_failures_nothing_is_claimed(group_page, usage, execution):
    page = group_page(
        execution("a", status="failed"), execution("b", status="succeeded"), error("e1", "a"), error("e2", "b"), error("e3", None),
        usage("u1", execution_id="a", model="nobody-knows-it"), usage("u2", execution_id="b", cost_usd="1"),
    )  # fmt: skip
    assert wasted(page) is None


def test_a_thousand_executions_are_one_statement(app, api, usage, execution):
    for start in (0, 500):
        keys = [f"run-{number}" for number in range(start, start + 500)]
        api.send(*(execution(key, status="failed") for key in keys))
        api.send(*(usage(f"u-{key}", execution_id=key, cost_usd="0.001") for key in keys))
    with count_queries() as statements:
        assert queries.spent_by_failed([f"run-{number}" for number in range(1_000)]) == 1_000_000_000
    assert len(statements) == 1
