"""What people do about errors, and what follows from it for groups and their errors."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from pilothouse.access import Principal
from pilothouse.clock import DAY, HOUR, now
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Invalid, NotFound
from pilothouse.work.runner import drain as run_due
from pilothouse_errors import group_queries, notices, queries, service, tasks
from pilothouse_errors.events import GroupOpened, Regressed
from pilothouse_errors.group_queries import GroupFilters
from pilothouse_errors.models import ErrorGroup, ErrorRecord

ADA = Principal(id="u1", role="member", name="Ada", user_id="u1")


def error(key: str, **fields: Any) -> dict[str, Any]:
    return {"type": "error", "id": key, "error_type": "ValueError", "message": "bad value", "at": now() - HOUR, **fields}


def only_group() -> ErrorGroup:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(ErrorGroup)).one()


def resolved() -> dict[str, bool]:
    db.session.rollback()
    db.session.expire_all()
    return {row.id: row.resolved for row in db.session.scalars(select(ErrorRecord))}


def change(key: str, changes: dict[str, Any], notes: str = "") -> None:
    with unit_of_work():
        service.change_group(key, changes, ADA, notes)


def resolve(key: str, notes: str = "") -> None:
    with unit_of_work():
        service.resolve(key, notes, ADA)


def reopen(key: str) -> None:
    with unit_of_work():
        service.reopen(key, ADA)


def test_the_last_open_error_resolves_its_group(api):
    api.send(error("e1"), error("e2"))
    resolve("e1")
    assert only_group().status == "open"
    resolve("e2", "both fixed")
    assert (only_group().status, only_group().resolved_by, only_group().resolution_notes) == ("resolved", "Ada", "both fixed")


def test_an_error_opened_again_opens_its_group_and_leaves_the_others(api):
    api.send(error("e1"), error("e2"))
    change(only_group().id, {"status": "resolved"})
    reopen("e2")
    assert (only_group().status, only_group().regressed) == ("open", False)
    assert resolved() == {"e1": True, "e2": False}


def test_resolving_twice_keeps_the_moment_and_the_notes(api):
    api.send(error("e1"))
    resolve("e1", "first")
    at = db.session.scalar(select(ErrorRecord.resolved_at))
    resolve("e1")
    db.session.rollback()
    db.session.expire_all()
    assert db.session.execute(select(ErrorRecord.resolved_at, ErrorRecord.resolution_notes)).one() == (at, "first")


def test_a_resolved_error_of_an_ignored_group_leaves_it_ignored(api):
    api.send(error("e1"))
    change(only_group().id, {"status": "ignored"})
    resolve("e1")
    assert only_group().status == "ignored"
    reopen("e1")
    assert only_group().status == "ignored"


def test_undoing_a_resolution_opens_just_the_errors_that_it_resolved(api, time_of_day):
    api.send(error("e1"), error("e2"))
    resolve("e1")
    time_of_day.pass_by(1_000)
    key = only_group().id
    change(key, {"status": "resolved"})
    change(key, {"status": "open"})
    assert resolved() == {"e1": True, "e2": False}
    assert (only_group().resolved_at, only_group().resolved_by, only_group().resolution_notes) == (None, None, None)


def test_large_groups_are_walked_in_steps(api, app):
    at = now() - HOUR
    api.send(*(error(f"e{n}", at=at - n) for n in range(2 * service.STEP + 5)))
    key = only_group().id
    change(key, {"status": "resolved"}, "all of them")
    assert sum(resolved().values()) == service.STEP
    run_due(app)
    assert all(resolved().values())
    change(key, {"status": "open"})
    run_due(app)
    assert not any(resolved().values())


def test_a_walk_that_was_overtaken_ends(api, app, time_of_day):
    at = now() - HOUR
    api.send(*(error(f"e{n}", at=at - n) for n in range(service.STEP + 5)))
    key = only_group().id
    change(key, {"status": "resolved"})
    time_of_day.pass_by(5)
    change(key, {"status": "open"})
    run_due(app)
    assert not any(resolved().values())
    with unit_of_work():
        service.walk("gone", "open", 1)


def test_a_change_that_changes_nothing_leaves_no_trace(api):
    api.send(error("e1"))
    group = only_group()
    change(group.id, {"status": "open", "assignee_id": None})
    assert group_queries.activity(group.id) == []


def test_everything_done_to_a_group_is_in_its_activity(api, as_role):
    api.send(error("e1"))
    key = only_group().id
    member = as_role("member").get("/api/auth/me").json["user"]["id"]
    change(key, {"assignee_id": member})
    change(key, {"assignee_id": None})
    change(key, {"severity": "high"})
    change(key, {"status": "ignored"})
    with unit_of_work():
        service.comment(key, "known since May", ADA)
    log = group_queries.activity(key)
    assert [entry.action for entry in log] == ["commented", "ignored", "severity_set", "unassigned", "assigned"]
    assert {entry.actor for entry in log} == {"Ada"}


def test_suspended_people_get_no_errors(api, as_role, app):
    from pilothouse.identity.users import change_user

    api.send(error("e1"))
    member = as_role("member").get("/api/auth/me").json["user"]["id"]
    with unit_of_work():
        change_user(member, by=Principal(id="o", role="owner"), status="suspended")
    with pytest.raises(Invalid):
        change(only_group().id, {"assignee_id": member})


def test_several_groups_change_at_once_and_missing_ones_are_passed_over(api):
    api.send(error("e1"), error("e2", error_type="KeyError"), error("e3", error_type="IndexError"))
    keys = list(db.session.scalars(select(ErrorGroup.id).order_by(ErrorGroup.id)))
    with unit_of_work():
        assert service.change_groups([keys[0], keys[1], keys[0], "gone"], {"status": "resolved"}, ADA) == 2
    assert group_queries.counts() == {"open": 1, "resolved": 2, "ignored": 0}
    assert group_queries.open_groups() == 1


def test_what_is_not_there_cannot_be_changed(app):
    for act in (lambda: resolve("e1"), lambda: reopen("e1"), lambda: change("g1", {})):
        with pytest.raises(NotFound):
            act()


def test_retention_takes_old_errors_and_leaves_counts(api, app):
    old = now() - 91 * DAY
    number = service.PURGED + 5
    api.send(*(error(f"old{n}", at=old, execution_id="r1") for n in range(number)), error("new"))
    tasks.purge({})
    assert list(db.session.scalars(select(ErrorRecord.id))) == ["new"]
    assert (only_group().count, only_group().first_seen_at) == (number + 1, old)
    assert api.send(error("after"))["accepted"] == 1


def test_hours_that_no_range_reaches_are_forgotten(api, app):
    ancient, old = now() - 401 * DAY, now() - 399 * DAY
    api.send(error("e1", at=ancient), error("e2", at=old))
    tasks.purge({})
    assert [count for _, count in group_queries.histogram(only_group().id, ancient, now()) if count] == [1]
    assert only_group().count == 2


def test_neighbours_lead_through_a_group(api):
    start = now() - HOUR
    rich = {"frames": [], "user": "ada", "attributes": {"a": 1}}
    api.send(error("e0", at=start), error("e1", at=start + 1, **rich), error("e2", at=start + 2), error("e3", at=start + 2))
    key = only_group().id
    middle = queries.neighbours(key, "e1")
    assert (middle.first, middle.previous, middle.next, middle.latest) == ("e0", "e0", "e2", "e3")
    assert middle.recommended == "e1"
    ends = queries.neighbours(key, "e0"), queries.neighbours(key, "e3"), queries.neighbours(key)
    assert [(end.previous, end.next) for end in ends] == [(None, "e1"), ("e2", None), (None, None)]
    assert queries.neighbours("gone").latest is None


def test_shares_and_executions_of_a_group(api):
    api.send(
        error("e1", release="1.0", user="ada", environment="prod", execution_id="r1"),
        error("e2", release="1.0", user="bob", execution_id="r2", at=now()),
        error("e3", release="2.0", user="ada", execution_id="r1", at=now() - 5),
    )
    key = only_group().id
    found = group_queries.shares(key)
    assert (found.sampled, found.environment) == (3, [("prod", 1)])
    assert group_queries.releases(key) == [("1.0", 2), ("2.0", 1)]
    assert found.user == [("ada", 2), ("bob", 1)]
    assert [run.execution_id for run in group_queries.executions(key)] == ["r2", "r1"]
    assert (group_queries.shares("gone").environment, group_queries.releases("gone")) == ([], [])


def test_trends_of_a_page_of_groups_come_with_one_statement(api):
    from pilothouse.testing import count_queries

    at = now()
    api.send(error("e1", at=at), error("e2", at=at - 13 * DAY), error("k1", error_type="KeyError", at=at - 20 * DAY))
    keys = {group.error_type: group.id for group in group_queries.page(GroupFilters(), 10)}
    with count_queries() as statements:
        found = group_queries.trends(list(keys.values()), at)
    assert len(statements) == 1
    assert (found[keys["ValueError"]][-1], sum(found[keys["ValueError"]])) == (1, 2)
    assert found[keys["KeyError"]] == [0] * 28


def test_groups_are_found_by_words_workflow_and_severity(api):
    api.send(error("e1", workflow="nightly", severity="high", message="Über das Limit"), error("k1", error_type="KeyError"))
    found = lambda **filters: [group.error_type for group in group_queries.page(GroupFilters(**filters), 10)]  # noqa: E731
    assert found(q="ÜBER") == found(workflow="nightly") == found(severity=("high",)) == ["ValueError"]
    assert found(status=("open", "ignored"), q="keyerror") == ["KeyError"]
    assert group_queries.counts(GroupFilters(severity=("high",)))["open"] == 1
    assert [hit["title"] for hit in group_queries.find("keyerr")] == ["KeyError: bad value"]


def test_notices_say_what_where_and_how_bad():
    facts = {"group_id": "g1", "error_id": "e1", "title": "ValueError: bad", "error_type": "ValueError"}
    new = notices.opened(GroupOpened(**facts, severity="high", workflow="nightly"))
    back = notices.regressed(Regressed(**facts, severity="low", workflow=""))
    assert (new.title, new.type, new.action_url) == ("New error in nightly: ValueError", "error", "/errors/g1")
    assert (back.title, back.type, back.message) == ("Error is back: ValueError", "warning", "ValueError: bad")


def test_workflow_names_are_known_by_id(api):
    api.send(error("e1", workflow="nightly"))
    assert list(queries.workflow_names().values()) == ["nightly"]
