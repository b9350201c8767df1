"""The endpoint of the sources."""

from __future__ import annotations

import msgspec

from pilothouse.sdk import ApiBlueprint, Moment, Period, read_period, to_rfc3339
from pilothouse_sources import queries
from pilothouse_sources.queries import Line

VIEW = "sources.arrivals.view"
RANGE = "7d"


class SourceQuery(msgspec.Struct, frozen=True):
    """A period of time; counts are kept by day (UTC), so all of a day that it touches is in."""

    range: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    def period(self) -> Period:
        """Return the period, seven days if left out. Raises Invalid."""
        return read_period(self.range, self.since, self.until, default=RANGE)


class ReasonAnswer(msgspec.Struct, frozen=True):
    """Why signals were refused; `last_signal` is the id of one of them, where it had a readable one."""

    field: str
    message: str
    count: int
    last_at: str
    last_signal: str | None


class SourceAnswer(msgspec.Struct, frozen=True):
    """What one client sent with one access token: `token` is its name, null once it is gone. `token_id` is null without one."""

    client: str
    version: str | None
    token_id: str | None
    token: str | None
    requests: int
    accepted: int
    duplicates: int
    rejected: int
    last_seen_at: str
    rejections: list[ReasonAnswer]


class Sources(msgspec.Struct, frozen=True):
    """All sources at once, the one heard of last first."""

    data: list[SourceAnswer]


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("sources")
    bp.get("/sources", permission=VIEW)(list_sources)
    return bp


def list_sources(query: SourceQuery) -> Sources:
    """List who sent signals.

    Each client by the name and version that it gives, with its access token; what was accepted, known before and rejected,
    and why. Requests that were refused as a whole count as one rejected, also those that were not let in: without a known
    token (401), without the scope (403), over a limit (429). At most 500, the ones heard of last, and the newest 1,000 reasons.
    """
    return Sources([_answer(line) for line in queries.lines(query.period())])


def _answer(line: Line) -> SourceAnswer:
    reasons = [
        ReasonAnswer(one.field, one.message, one.count, to_rfc3339(one.last_at), one.last_signal) for one in line.reasons
    ]
    return SourceAnswer(
        line.client, line.version or None, line.token_id or None, line.token, line.requests, line.accepted, line.duplicates,
        line.rejected, to_rfc3339(line.last_at), reasons,
    )  # fmt: skip
