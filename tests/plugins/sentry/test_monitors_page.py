"""Each scheduled job can be seen: its schedule, how its last run went, and when the next one is expected."""

from __future__ import annotations

from typing import Any

import pytest
from tests.plugins.sentry.conftest import Sentry
from tests.plugins.sentry.test_monitors import NIGHTLY, at, check_in, every, search

from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.db import unit_of_work
from pilothouse_sentry import service


def monitors(api: Any, query: str = "") -> list[Any]:
    return list(api.get(f"/api/monitors{query}").json["data"])


def test_a_job_has_its_schedule_its_last_run_and_its_next(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "in_progress", environment="production")
    time_of_day.pass_by(MINUTE)
    check_in(sentry, "ok", environment="production")
    assert monitors(api) == [{
        "slug": "nightly", "environment": "production", "state": "ok", "misses": 0, "last_execution_id": "a" * 32,
        "last_check_in_at": "2026-01-10T02:01:00.000Z", "next_expected_at": "2026-01-11T02:00:00.000Z",
        "schedule": {"crontab": "0 3 * * *", "every": None, "unit": None, "timezone": "Europe/Berlin", "margin_ms": 5 * MINUTE,
                     "max_runtime_ms": 30 * MINUTE},
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "later", "state"),
    [
        ("in_progress", 0, "running"),
        ("ok", 0, "ok"),
        ("error", 0, "failed"),
        ("in_progress", HOUR, "overrun"),
        ("ok", DAY + HOUR, "missed"),
    ],
)
def test_the_state_is_that_of_the_last_run(
    sentry: Sentry, api: Any, time_of_day: Any, said: str, later: int, state: str
) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, said)
    time_of_day.pass_by(later)
    search()
    [job] = monitors(api)
    assert job["state"] == state
    run = api.get(f"/api/executions/{job['last_execution_id']}").json
    assert run["workflow"] == "nightly"
    assert [len(monitors(api, f"?state={name}")) for name in ("ok", "missed")] == [state == "ok", state == "missed"]


def test_a_run_that_ended_after_all_and_a_job_that_came_back_are_well_again(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "in_progress")
    time_of_day.pass_by(HOUR)
    search()
    check_in(sentry, "ok")
    assert monitors(api)[0]["state"] == "ok"
    time_of_day.pass_by(DAY)
    search()
    assert (monitors(api)[0]["state"], monitors(api)[0]["misses"]) == ("missed", 1)
    check_in(sentry, "ok", "b" * 32)
    assert (monitors(api)[0]["state"], monitors(api)[0]["misses"]) == ("ok", 0)


def test_a_check_in_that_comes_late_does_not_hide_a_newer_one(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:10")
    check_in(sentry, "error", "b" * 32)
    check_in(sentry, "ok", "a" * 32, timestamp=at("2026-01-09T03:00") / 1_000)
    assert monitors(api)[0]["state"] == "failed"


def test_those_in_trouble_come_first_and_an_unknown_state_is_refused(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    for number, said in enumerate(("ok", "error", "in_progress")):
        check_in(sentry, said, f"{number}" * 32, monitor_slug=f"job-{number}")
    assert [job["slug"] for job in monitors(api)] == ["job-1", "job-0", "job-2"]
    assert api.get("/api/monitors?state=odd").status_code == 422


def test_the_page_shows_them(sentry: Sentry, as_role: Any, time_of_day: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    browser = as_role("viewer")
    assert "No scheduled job checks in" in browser.get("/monitors/").text
    monkeypatch.setattr(service, "MOST_MISSES", 1)
    check_in(sentry, "ok", config=every(2, "hour"), monitor_slug="<b>odd & long</b>", environment="staging")
    check_in(sentry, "in_progress", "b" * 32, config=NIGHTLY)
    page = browser.get("/monitors/").text
    for words in (
        "&lt;b&gt;odd &amp; long&lt;/b&gt;",
        "staging",
        "every 2 hours",
        "0 3 * * *",
        "Europe/Berlin",
        "OK",
        "Running",
    ):
        assert words in page
    time_of_day.pass_by(4 * HOUR)
    search()
    assert "not expected any more" in browser.get("/monitors/").text
    only = browser.get("/monitors/?state=missed").text
    assert ("every 2 hours" in only, "0 3 * * *" in only) == (True, False)
    assert browser.get("/monitors/?state=odd").status_code == 200


def test_a_job_that_told_no_schedule_is_listed_and_not_waited_for(
    sentry: Sentry, api: Any, as_role: Any, time_of_day: Any
) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "in_progress", config=None)
    assert monitors(api)[0]["state"] == "running"
    time_of_day.pass_by(MINUTE)
    check_in(sentry, "ok", config=None)
    [job] = monitors(api)
    assert (job["slug"], job["state"], job["schedule"], job["next_expected_at"]) == ("nightly", "ok", None, None)
    page = as_role("viewer").get("/monitors/").text
    assert all(words in page for words in ("OK", "told no schedule", "not&nbsp;waited&nbsp;for"))
    time_of_day.pass_by(29 * DAY)
    with unit_of_work():
        service.forget()
    assert (search(), len(monitors(api))) == (0, 1)
    check_in(sentry, "ok", "b" * 32)
    assert monitors(api)[0]["schedule"]["crontab"] == "0 3 * * *"


def test_jobs_without_a_schedule_take_no_room_from_those_with_one(
    sentry: Sentry, api: Any, time_of_day: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_MONITORS", 2)
    time_of_day.at = at("2026-01-10T03:00")
    for number in range(8):
        config = NIGHTLY if number > 3 else None
        check_in(sentry, "ok", f"{number}" * 32, monitor_slug=f"job-{number}", config=config)
    assert [job["slug"] for job in monitors(api)] == ["job-0", "job-1", "job-4", "job-5"]
