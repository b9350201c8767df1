"""Until when a group stays resolved or ignored: times, versions, what opens it again and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from pilothouse import migrate
from pilothouse.clock import DAY, HOUR, now, to_rfc3339
from pilothouse.db import db, unit_of_work
from pilothouse.testing import Api
from pilothouse_errors import holding, tasks
from pilothouse_errors.models import ErrorGroup, ErrorGroupRelease, ErrorRecord, ErrorRelease


def error(key: str, release: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "type": "error", "id": key, "error_type": "ValueError", "message": "bad value", "at": now() - HOUR, "release": release, **fields,
    }  # fmt: skip


def later(key: str, release: str | None, ms: int = 50) -> dict[str, Any]:
    """Return an error that happens after what was done to its group a moment ago."""
    return error(key, release, at=now() + ms)


def group(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/api/errors/groups").json["data"][0]
    return found


def change(api: Api, **fields: Any) -> Any:
    return api.patch(f"/api/errors/groups/{group(api)['id']}", json=fields)


def wake() -> None:
    with unit_of_work():
        tasks.wake({})


@pytest.mark.parametrize(("until", "span"), [("day", DAY), ("week", 7 * DAY)])
def test_a_group_is_ignored_for_a_time(api, time_of_day, until, span):
    api.send(error("e1"))
    answer = change(api, status="ignored", until=until).json
    assert (answer["status"], answer["until"], answer["until_at"]) == ("ignored", "time", to_rfc3339(now() + span))
    api.send(later("e2", None))
    wake()
    assert group(api)["status"] == "ignored"
    time_of_day.pass_by(span)
    wake()
    assert (group(api)["status"], group(api)["until"], group(api)["regressed"]) == ("open", None, False)
    told = api.get(f"/api/errors/groups/{group(api)['id']}").json["activity"]
    assert [(entry["action"], entry["actor"]) for entry in told] == [("woke", ""), ("ignored", "test")]


def test_an_error_after_that_time_comes_back_before_anybody_looks(api, time_of_day):
    api.send(error("e1"))
    change(api, status="ignored", until_at=now() + HOUR)
    time_of_day.pass_by(HOUR)
    api.send(error("late", at=now() - 2 * HOUR))
    assert group(api)["status"] == "ignored"
    api.send(later("e2", None, 1))
    assert (group(api)["status"], group(api)["regressed"]) == ("open", True)


def test_a_group_is_ignored_up_to_the_next_version(either_api):
    either_api.send(error("e1", "1.0", at=now() - 3 * HOUR), error("e2", "1.1", at=now() - 2 * HOUR))
    answer = change(either_api, status="ignored", until="next_version").json
    assert (answer["until"], answer["until_release"]) == ("next_version", "1.1")
    either_api.send(later("e3", "1.1"), later("e4", "1.0"), later("e5", None))
    assert group(either_api)["status"] == "ignored"
    either_api.send(later("e6", "1.2"))
    assert (group(either_api)["status"], group(either_api)["regressed"], group(either_api)["until"]) == ("open", True, None)


def test_what_is_fixed_in_this_version_stays_resolved_for_older_ones(either_api):
    either_api.send(error("e1", "1.0", at=now() - 3 * HOUR), error("e2", "1.1", at=now() - 2 * HOUR))
    assert change(either_api, status="resolved", until="this_version").json["until_release"] == "1.1"
    either_api.send(later("e3", "1.0"))
    assert group(either_api)["status"] == "resolved"
    assert either_api.get("/api/errors/e3").json["resolved"] is True
    either_api.send(later("e4", "1.1"))
    assert (group(either_api)["status"], group(either_api)["regressed"]) == ("open", True)
    assert either_api.get("/api/errors/e4").json["resolved"] is False


@pytest.mark.parametrize("newer", ["1.2", None])
def test_what_is_fixed_in_the_next_version_comes_back_with_that_or_where_no_version_is_named(api, newer):
    api.send(error("e1", "1.1"))
    change(api, status="resolved", until="next_version")
    api.send(later("e2", "1.1"))
    assert group(api)["status"] == "resolved"
    api.send(later("e3", newer))
    assert (group(api)["status"], group(api)["regressed"]) == ("open", True)


def test_a_version_is_as_old_as_the_first_error_of_any_group(either_api):
    either_api.send(error("k1", "0.9", error_type="KeyError", at=now() - DAY), error("e1", "1.0"))
    key = either_api.get("/api/errors/e1").json["group_id"]
    either_api.patch(f"/api/errors/groups/{key}", json={"status": "resolved", "until": "next_version"})
    either_api.send(later("e2", "0.9"))
    assert either_api.get(f"/api/errors/groups/{key}").json["status"] == "resolved"
    either_api.send(error("k2", "1.0", error_type="KeyError", at=now() - 2 * DAY))
    first = {row.release: row.first_seen_at for row in db.session.execute(select(ErrorRelease.release, ErrorRelease.first_seen_at))}
    assert first["1.0"] < first["0.9"]


def test_what_was_chosen_can_be_chosen_anew_and_for_good(api):
    api.send(error("e1"))
    change(api, status="ignored", until="day")
    assert change(api, status="ignored", until="week").json["until_at"] == to_rfc3339(
        db.session.scalar(select(ErrorGroup.until_at)) or 0
    )
    assert change(api, status="ignored").json["until"] is None
    assert change(api, severity="low").json["status"] == "ignored"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"until": "day"}, "status"),
        ({"status": "resolved", "until": "day"}, "until"),
        ({"status": "ignored", "until": "this_version"}, "until"),
        ({"status": "ignored", "until": "next_version"}, "until"),  # nobody named a version
        ({"status": "open", "until": "week"}, "until"),
        ({"status": "ignored", "until": "ever"}, "until"),
        ({"status": "ignored", "until_at": 1}, "until_at"),
        ({"status": "resolved", "until_at": "2099-01-01T00:00:00Z"}, "until_at"),
        ({"status": "ignored", "until": "day", "until_at": "2099-01-01T00:00:00Z"}, "until_at"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(api, fields, field):
    api.send(error("e1"))
    answer = change(api, **fields)
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, field)
    assert group(api)["status"] == "open"


def test_the_page_offers_times_and_where_one_is_known_versions(api, as_role):
    api.send(error("e1"))
    path = f"/errors/{group(api)['id']}"
    page = as_role("member").get(path).text
    assert ("For a week" in page, "The next version" in page) == (True, False)
    api.send(error("e2", "2026.7"))
    assert "This version (2026.7)" in as_role("member").get(path).text
    assert "For a week" not in as_role("viewer").get(path).text


def test_undo_brings_the_time_back_that_was_chosen(api, as_role):
    api.send(error("e1"))
    member = as_role("member")
    path = f"/errors/{group(api)['id']}/change"
    member.post(path, data={"status": "ignored", "until": "week"})
    chosen = group(api)["until_at"]
    assert "It ends" in member.get(f"/errors/{group(api)['id']}").text
    undo = member.post(path, data={"status": "open"}, headers={"X-Ph-Async": "1"}).json["toast"]["undo"]
    member.post(path, data=undo["fields"])
    assert (group(api)["status"], group(api)["until_at"]) == ("ignored", chosen)


def test_the_revision_keeps_groups_and_errors_and_knows_their_versions(either_api):
    either_api.send(error("e1", "1.0"), error("e2", "1.1"), error("k1", error_type="KeyError"))
    assert migrate.downgrade("errors@errors_0001") == "errors@errors_0001"
    migrate.upgrade()
    db.session.rollback()
    counts = [db.session.scalar(select(func.count()).select_from(table)) for table in (ErrorGroup, ErrorRecord)]
    assert (counts, migrate.check()) == ([2, 3], [])
    assert holding.newest_releases(1)
    assert sorted(db.session.scalars(select(ErrorRelease.release))) == ["1.0", "1.1"]


def test_the_revision_counts_which_version_had_which_group(either_api):
    either_api.send(error("e1", "1.0"), error("e2", "1.1"), error("e3", "1.1"), error("k1", "1.1", error_type="KeyError"), error("e4"))
    row = ErrorGroupRelease
    counts = select(row.group_id, row.release, row.count).order_by(row.group_id, row.release)
    recorded = db.session.execute(counts).all()
    db.session.rollback()
    assert migrate.downgrade("errors@errors_0002") == "errors@errors_0002"
    migrate.upgrade()
    assert db.session.execute(counts).all() == recorded
    assert sorted(number for _, _, number in recorded) == [1, 1, 2]
