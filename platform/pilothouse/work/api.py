"""The API of dead letters."""

from __future__ import annotations

from typing import Any

import msgspec

from pilothouse.clock import to_rfc3339
from pilothouse.web.api import ApiBlueprint
from pilothouse.web.paging import DEFAULT_LIMIT, Limit, Page, page_of, read_cursor
from pilothouse.work import dead_letters
from pilothouse.work.models import Job


class DeadLetterQuery(msgspec.Struct, frozen=True):
    """Which page of the list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class DeadLetter(msgspec.Struct, frozen=True):
    """A job that gave up: what it was to do, how often it started, and why it gave up."""

    id: str
    task: str
    payload: dict[str, Any]
    state: str
    starts: int
    error: str | None
    created_at: str
    finished_at: str | None


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("dead_letters")
    bp.get("/dead-letters", permission="core.dead_letters.view")(list_dead_letters)
    bp.post("/dead-letters/<job_id>/replay", permission="core.dead_letters.replay")(replay_dead_letter)
    return bp


def list_dead_letters(query: DeadLetterQuery) -> Page[DeadLetter]:
    """List the tasks that gave up, the latest first."""
    after = read_cursor(query.cursor) if query.cursor else None
    rows = dead_letters.newest(query.limit + 1, after)
    shown, cursor = page_of(rows, query.limit, lambda job: (job.finished_at, job.id))
    return Page([_shown(job) for job in shown], cursor)


def replay_dead_letter(job_id: str) -> DeadLetter:
    """Run a task that gave up once more, with three fresh starts."""
    return _shown(dead_letters.replay(job_id))


def _shown(job: Job) -> DeadLetter:
    return DeadLetter(
        id=job.id,
        task=job.task,
        payload=msgspec.json.decode(job.payload),
        state=job.state,
        starts=job.starts,
        error=job.error,
        created_at=to_rfc3339(job.created_at),
        finished_at=None if job.finished_at is None else to_rfc3339(job.finished_at),
    )
