"""What keeps lists quick: every one of them walks an index, and an open console costs no query."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from pilothouse.db import db
from pilothouse.testing import count_queries
from pilothouse_errors import group_queries, queries
from pilothouse_errors.group_queries import GroupFilters
from pilothouse_errors.selection import Filters


def plans(act) -> Iterator[str]:
    """Yield the plan of each statement that something runs."""
    seen: list[tuple[str, object]] = []

    def note(_connection, _cursor, statement, parameters, *_) -> None:
        seen.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    for statement, parameters in seen:
        if statement.startswith("SELECT"):
            rows = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            yield "\n".join(row[3] for row in rows)


LISTS = [
    Filters(), Filters(severity=("high",)), Filters(resolved=False), Filters(resolved=True), Filters(workflow="nightly"),
    Filters(group="g"), Filters(since=1, until=2), Filters(severity=("low",), since=5), Filters(q="timeout"),
    Filters(q="x", severity=("low",)), Filters(group="g", resolved=True),
]  # fmt: skip


@pytest.fixture
def filled(api) -> None:
    api.send(*({"type": "error", "id": f"e{n}", "error_type": "E", "message": "m", "workflow": "nightly"} for n in range(50)))


def test_no_list_of_errors_scans_or_sorts(filled):
    for filters in LISTS:
        for after in (None, (5, 7)):
            for plan in plans(lambda filters=filters, after=after: queries.page(filters, 50, after)):
                assert "SCAN errors" not in plan.replace("SCAN errors USING INDEX ix_errors_created", "")
                assert "TEMP B-TREE" not in plan


def test_no_list_of_groups_sorts(filled):
    for filters in (GroupFilters(), GroupFilters(status=("open",)), GroupFilters(assignee_id="u")):
        for plan in plans(lambda filters=filters: group_queries.page(filters, 50, (5, "g"))):
            assert "TEMP B-TREE" not in plan
            assert "USING INDEX" in plan


def test_the_groups_of_a_release_are_looked_up(filled):
    for plan in plans(lambda: group_queries.page(GroupFilters(status=("open",), release="1.0"), 50, (5, "g"))):
        assert "ix_error_group_releases_release" in plan
        assert "SCAN" not in plan


PARTS = (
    lambda: queries.get("e2"), lambda: queries.neighbours("g", "e1"), lambda: group_queries.shares("g"), lambda: group_queries.releases("g"),
    lambda: group_queries.executions("g"), lambda: group_queries.activity("g"),
    lambda: group_queries.histogram("g", 0, 5), lambda: group_queries.trends(["g", "h"], 10**12),
)  # fmt: skip


def test_no_part_of_a_group_page_scans(filled):
    for act in PARTS:
        for plan in plans(act):
            assert "SCAN" not in plan


def test_an_unchanged_poll_costs_no_query(broker_api):
    broker_api.send({"type": "error", "id": "e1", "error_type": "E", "message": "m"})
    tag = broker_api.get("/api/errors").headers["ETag"]
    with count_queries() as statements:
        answer = broker_api.get("/api/errors", headers={"If-None-Match": tag})
    assert answer.status_code == 304
    assert statements == []


def test_a_list_costs_few_queries(api, filled):
    api.get("/api/errors")
    with count_queries() as statements:
        api.get("/api/errors?workflow=nightly&q=m")
    assert len([statement for statement in statements if "errors" in statement or "error_" in statement]) <= 3
