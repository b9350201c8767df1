"""Dead letters over the API: listed newest first, replayed by admins, and each replay audited."""

from __future__ import annotations

from sqlalchemy import select, update

from pilothouse import clock
from pilothouse.audit import AuditEntry
from pilothouse.db import db, unit_of_work
from pilothouse.work import jobs
from pilothouse.work.models import Job


def bury(count: int, **options: object) -> list[str]:
    """Make dead letters, each a second younger than the one before."""
    ids = [jobs.enqueue("core.purge_jobs", {"n": n}, **options) for n in range(count)]
    with unit_of_work() as session:
        for place, job_id in enumerate(ids):
            dead = {"state": "dead", "starts": 3, "error": "It failed.", "finished_at": clock.now() + place * 1_000}
            session.execute(update(Job).where(Job.id == job_id).values(**dead))
    return ids


def test_they_are_listed_in_pages_the_latest_first(api) -> None:
    ids = bury(5)
    first = api.get("/api/dead-letters?limit=3").json
    second = api.get(f"/api/dead-letters?limit=3&cursor={first['next_cursor']}").json
    assert [letter["id"] for letter in first["data"] + second["data"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_a_letter_says_what_and_why(api) -> None:
    bury(1)
    (letter,) = api.get("/api/dead-letters").json["data"]
    assert (letter["task"], letter["payload"], letter["starts"]) == ("core.purge_jobs", {"n": 0}, 3)
    assert letter["error"] == "It failed."
    assert letter["finished_at"].endswith("Z")


def test_a_replayed_letter_runs_and_is_audited(api, drain) -> None:
    (job_id,) = bury(1)
    response = api.post(f"/api/dead-letters/{job_id}/replay")
    assert (response.status_code, response.json["state"], response.json["starts"]) == (200, "waiting", 0)
    assert drain() >= 1
    db.session.rollback()
    assert db.session.execute(select(Job.state).where(Job.id == job_id)).scalar_one() == "done"
    actions = db.session.execute(select(AuditEntry.action)).scalars().all()
    assert "core.dead_letter_replayed" in actions


def test_only_dead_letters_are_replayed(api) -> None:
    job_id = jobs.enqueue("core.purge_jobs", {})
    assert api.post(f"/api/dead-letters/{job_id}/replay").status_code == 409
    assert api.post("/api/dead-letters/nobody/replay").status_code == 404


def test_a_letter_whose_work_waits_already_is_not_replayed(api) -> None:
    (job_id,) = bury(1, key="same")
    jobs.enqueue("core.purge_jobs", {}, key="same")
    assert api.post(f"/api/dead-letters/{job_id}/replay").status_code == 409


def test_members_see_none(as_role) -> None:
    assert as_role("member").get("/api/dead-letters").status_code == 403
    assert as_role("admin").get("/api/dead-letters").status_code == 200
