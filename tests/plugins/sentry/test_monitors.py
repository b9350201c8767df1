"""Scheduled jobs that did not start, or did not end, are runs that failed: each once, on the clock of the job's own zone."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.conftest import token_of
from tests.plugins.sentry.conftest import Sentry

from pilothouse import clock
from pilothouse.clock import DAY, HOUR, MINUTE, to_rfc3339
from pilothouse.db import unit_of_work
from pilothouse_sentry import schedules, service

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = {
    "schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Berlin", "checkin_margin": 5, "max_runtime": 30,
}  # fmt: skip


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1_000)


def local(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment / 1_000, BERLIN).isoformat(timespec="minutes")


def every(value: Any, unit: str, **more: Any) -> dict[str, Any]:
    return {"schedule": {"type": "interval", "value": value, "unit": unit}, **more}


@pytest.mark.parametrize(
    ("after", "due"),
    [
        ("2026-01-10T02:59", "2026-01-10T03:00+01:00"),
        ("2026-01-10T03:00", "2026-01-11T03:00+01:00"),
        ("2026-03-28T12:00", "2026-03-29T03:00+02:00"),  # the night that has no 02:00 to 03:00
        ("2026-10-24T12:00", "2026-10-25T03:00+01:00"),  # the night that has it twice
    ],
)
def test_a_crontab_line_goes_by_the_clock_of_its_zone(after: str, due: str) -> None:
    schedule = schedules.read(NIGHTLY)
    assert schedule is not None
    assert local(schedule.after(at(after))) == due


@pytest.mark.parametrize(
    ("config", "after", "due"),
    [
        (every(10, "minute"), "2026-03-29T01:55", "2026-03-29T03:05+02:00"),
        (every(2, "hour", timezone="Europe/Berlin"), "2026-10-25T01:00", "2026-10-25T02:00+01:00"),
        (every(1, "day", timezone="Europe/Berlin"), "2026-03-28T09:00", "2026-03-29T09:00+02:00"),
        (every(2, "week", timezone="Europe/Berlin"), "2026-03-20T09:00", "2026-04-03T09:00+02:00"),
        (every(1, "month", timezone="Europe/Berlin"), "2026-01-31T09:00", "2026-02-28T09:00+01:00"),
        (every(11, "month", timezone="Europe/Berlin"), "2026-01-31T09:00", "2026-12-31T09:00+01:00"),
        (every(1, "year", timezone="Europe/Berlin"), "2028-02-29T09:00", "2029-02-28T09:00+01:00"),
        ({"schedule": {"type": "crontab", "value": "@hourly"}}, "2026-01-10T09:10", "2026-01-10T10:00+01:00"),
    ],
)
def test_intervals_and_short_words_are_known(config: Any, after: str, due: str) -> None:
    schedule = schedules.read(config)
    assert schedule is not None
    assert local(schedule.after(at(after))) == due


@pytest.mark.parametrize(
    "config",
    [
        None, 7, {}, {"schedule": "0 3 * * *"}, {"schedule": {"type": "crontab", "value": "whenever"}},
        {"schedule": {"type": "crontab", "value": "0 0 31 2 *"}}, {"schedule": {"type": "crontab", "value": "* * * * * *"}},
        {"schedule": {"type": "crontab", "value": 5}}, every(0, "hour"), every(-1, "hour"), every("x", "hour"), every(1, "fortnight"),
        every(10**9, "year"), every([], "hour"), {"schedule": {"type": "moon", "value": 1}},
    ],
)  # fmt: skip
def test_what_tells_no_schedule_is_none(config: Any) -> None:
    assert schedules.read(config) is None


@pytest.mark.parametrize(
    ("told", "margin", "runtime"),
    [({}, 1, 30), ({"checkin_margin": 7, "max_runtime": 5}, 7, 5), ({"checkin_margin": -3, "max_runtime": 10**9}, 1, 40_320),
     ({"checkin_margin": "x", "max_runtime": None}, 1, 30)],
)  # fmt: skip
def test_margin_and_run_time_have_defaults_and_bounds(told: Any, margin: int, runtime: int) -> None:
    schedule = schedules.read(every(1, "hour", **told))
    assert schedule is not None
    assert (schedule.margin, schedule.max_runtime) == (margin * MINUTE, runtime * MINUTE)


@pytest.mark.parametrize("zone", ["Middle/Earth", "../etc/passwd", "", 7, "\0"])
def test_an_unknown_zone_is_utc(zone: Any) -> None:
    schedule = schedules.read({**NIGHTLY, "timezone": zone})
    assert schedule is not None
    assert schedule.timezone == "UTC"


def test_one_miss_stands_for_all_until_now() -> None:
    minutely, monthly = schedules.read(every(7, "minute")), schedules.read(every(1, "month"))
    assert minutely is not None
    assert monthly is not None
    assert minutely.after_missing(0, 70 * MINUTE) == 77 * MINUTE
    assert minutely.after_missing(0, 10**12) == (10**12 // (7 * MINUTE) + 1) * 7 * MINUTE
    assert local(monthly.after_missing(at("2026-01-15T09:00"), at("2026-04-20T09:00"))) == "2026-05-15T10:00+02:00"


def check_in(sentry: Sentry, status: str, key: str = "a" * 32, config: Any = NIGHTLY, **more: Any) -> None:
    payload = {"check_in_id": key, "monitor_slug": "nightly", "status": status, "monitor_config": config,
               "timestamp": clock.now() / 1_000, **more}  # fmt: skip
    assert sentry.send(("check_in", payload)).status_code == 200


def search() -> int:
    with unit_of_work():
        return service.find_missed()


def runs(api: Any) -> list[tuple[str, str]]:
    found = api.get("/api/executions?workflow=nightly&since=0").json["data"]
    return sorted((run["id"][:4], run["status"]) for run in found)


def test_a_job_that_did_not_start_is_a_failed_run_once(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00") + 2_000
    check_in(sentry, "ok", duration=1)
    time_of_day.at = at("2026-01-11T03:04")
    assert search() == 0
    time_of_day.at = at("2026-01-11T03:05")
    assert (search(), search()) == (1, 0)
    [missed] = api.get("/api/executions?status=failed&since=0").json["data"]
    assert (missed["workflow"], missed["trigger"], missed["started_at"]) == ("nightly", "schedule", None)
    assert missed["attributes"] == {
        "monitor": "nightly", "check_in": "missed", "due_at": to_rfc3339(at("2026-01-11T03:00")), "schedule": "0 3 * * *",
        "timezone": "Europe/Berlin",
    }  # fmt: skip
    [error] = api.get("/api/errors?since=0").json["data"]
    assert (error["error_type"], error["execution_id"]) == ("MissedCheckIn", missed["id"])
    time_of_day.at = at("2026-01-12T03:10")
    assert search() == 1
    assert len(api.get("/api/errors/groups").json["data"]) == 1


def test_a_job_that_starts_is_expected_again_the_next_time(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    for day in range(10, 14):
        time_of_day.at = at(f"2026-01-{day}T03:00") - 20_000  # its clock is ahead of ours
        check_in(sentry, "in_progress", f"{day}" * 16)
        time_of_day.pass_by(10 * MINUTE)
        check_in(sentry, "ok", f"{day}" * 16)
        assert search() == 0
    time_of_day.pass_by(23 * HOUR)
    assert search() == 0
    time_of_day.pass_by(HOUR)
    assert search() == 1


def test_a_run_that_does_not_end_is_timed_out_and_may_still_end(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "in_progress")
    time_of_day.pass_by(29 * MINUTE)
    assert search() == 0
    time_of_day.pass_by(MINUTE)
    assert (search(), search()) == (1, 0)
    run = api.get(f"/api/executions/{'a' * 32}").json
    assert (run["status"], run["duration_ms"]) == ("timed_out", 30 * MINUTE)
    time_of_day.pass_by(MINUTE)
    check_in(sentry, "ok")
    assert api.get(f"/api/executions/{'a' * 32}").json["status"] == "succeeded"


def test_a_run_that_ended_is_not_timed_out(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "in_progress")
    check_in(sentry, "error")
    time_of_day.pass_by(HOUR)
    assert (search(), runs(api)) == (0, [("aaaa", "failed")])


def test_one_without_a_schedule_is_not_waited_for(sentry: Sentry, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "in_progress", config={"schedule": {"type": "crontab", "value": "whenever"}})
    time_of_day.pass_by(30 * DAY)
    assert search() == 0


def test_environments_are_waited_for_by_themselves(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "ok", "a" * 32, environment="production")
    check_in(sentry, "ok", "b" * 32, environment="staging")
    time_of_day.pass_by(DAY)
    check_in(sentry, "ok", "c" * 32, environment="production")
    time_of_day.pass_by(10 * MINUTE)
    assert search() == 1
    assert [run["environment"] for run in api.get("/api/executions?status=failed&since=0").json["data"]] == ["staging"]


def test_a_changed_schedule_counts_from_its_next_check_in(sentry: Sentry, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "ok")
    check_in(sentry, "ok", "b" * 32, config=every(1, "week"))
    time_of_day.pass_by(6 * DAY)
    assert search() == 0
    time_of_day.pass_by(2 * DAY)
    assert search() == 1


def test_a_job_that_was_taken_away_is_not_waited_for_for_ever(sentry: Sentry, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "ok")
    found = 0
    for _ in range(30):
        time_of_day.pass_by(DAY)
        time_of_day.pass_by(10 * MINUTE)
        found += search()
    assert found == service.MOST_MISSES
    check_in(sentry, "ok", "b" * 32)
    time_of_day.pass_by(2 * DAY)
    assert search() == 1


def test_after_an_outage_one_miss_stands_for_all(sentry: Sentry, api: Any, time_of_day: Any) -> None:
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "ok", config=every(10, "minute"))
    time_of_day.pass_by(3 * HOUR)
    assert (search(), search()) == (1, 0)


def test_names_without_end_do_not_fill_the_disk(sentry: Sentry, time_of_day: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_MONITORS", 3)
    time_of_day.at = at("2026-01-10T03:00")
    for number in range(6):
        check_in(sentry, "ok", f"{number}" * 32, monitor_slug=f"job-{number}")
    time_of_day.pass_by(2 * DAY)
    assert search() == 3


def test_monitors_that_nobody_waits_for_are_forgotten(sentry: Sentry, time_of_day: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_MISSES", 1)
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "ok")
    time_of_day.pass_by(2 * DAY)
    search()
    time_of_day.pass_by(40 * DAY)
    with unit_of_work():
        service.forget()
    from sqlalchemy import text

    from pilothouse.db import db

    assert db.session.scalar(text("SELECT count(*) FROM sentry_monitors")) == 0


def test_it_is_the_same_on_either_database(either_app: Any, either_api: Any, time_of_day: Any) -> None:
    sentry = Sentry(either_app.test_client(), token_of(either_app, "ingest"))
    time_of_day.at = at("2026-01-10T03:00")
    check_in(sentry, "in_progress")
    time_of_day.at = at("2026-01-11T03:06")
    assert (search(), search()) == (2, 0)
    assert sorted(status for _, status in runs(either_api)) == ["failed", "timed_out"]
    check_in(sentry, "ok", "b" * 32)
    assert len(runs(either_api)) == 3
