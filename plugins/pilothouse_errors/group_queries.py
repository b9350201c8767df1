"""Reading groups of errors: lists, counts, histograms, who and what they met, what was done to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, func, select, tuple_

from pilothouse.sdk import HOUR, NotFound, db
from pilothouse_errors.models import ErrorGroup, ErrorGroupActivity, ErrorGroupHour, ErrorGroupRelease, ErrorRecord
from pilothouse_errors.tallying import IGNORED, OPEN, RESOLVED, hour_of

STATUSES = (OPEN, RESOLVED, IGNORED)
TREND_BUCKETS, TREND_BUCKET = 28, 12 * HOUR  # 14 days beside each group of a list
SAMPLE = 1_000  # newest errors of a group from which shares are made
MOST_VALUES = 10  # values of a distribution, the most frequent ones
MOST_ENTRIES = 200  # of an activity log, the newest ones
LOOKED_THROUGH = 2_000  # newest groups in which text is looked for


@dataclass(frozen=True, slots=True)
class GroupFilters:
    """Which groups. `q` is a part of title or message, `release` a version that an error of theirs named."""

    status: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    assignee_id: str | None = None
    workflow: str | None = None
    release: str | None = None
    q: str | None = None


def page(filters: GroupFilters, limit: int, after: tuple[int, str] | None = None) -> list[ErrorGroup]:
    """Return up to `limit + 1` groups, those last that were not seen for the longest time, after the cursor."""
    statement = select(ErrorGroup).where(*_conditions(filters))
    statement = statement.order_by(ErrorGroup.last_seen_at.desc(), ErrorGroup.id.desc())
    if after is not None:
        statement = statement.where(tuple_(ErrorGroup.last_seen_at, ErrorGroup.id) < after)
    session = db.session()
    fresh = statement.execution_options(populate_existing=True)
    if not filters.q:
        return list(session.scalars(fresh.limit(limit + 1)))
    needle = filters.q.lower()
    groups = session.scalars(fresh.limit(LOOKED_THROUGH))
    return [group for group in groups if needle in group.title.lower() or needle in group.message.lower()][: limit + 1]


def get(group_id: str) -> ErrorGroup:
    """Return one group. Raises NotFound."""
    group = db.session().get(ErrorGroup, group_id, populate_existing=True)
    if group is None:
        raise NotFound(f"There is no group of errors {group_id}.")
    return group


def counts(filters: GroupFilters | None = None) -> dict[str, int]:
    """Return the number of groups by status, also of those statuses that the filters leave out."""
    others = filters or GroupFilters()
    wanted = replace(others, status=())
    statement = select(ErrorGroup.status, func.count()).where(*_conditions(wanted)).group_by(ErrorGroup.status)
    found = {row[0]: row[1] for row in db.session().execute(statement)}
    return {status: found.get(status, 0) for status in STATUSES}


def open_groups() -> int:
    """Return the number of open groups: the badge of the sidebar."""
    statement = select(func.count()).select_from(ErrorGroup).where(ErrorGroup.status == OPEN)
    return int(db.session().scalar(statement) or 0)


def histogram(group_id: str, since: int, until: int) -> list[tuple[int, int]]:
    """Return (start in ms, number of errors) for every hour (UTC) of the period, also the empty ones."""
    first = hour_of(since)
    statement = select(ErrorGroupHour.at, ErrorGroupHour.count).where(
        ErrorGroupHour.group_id == group_id, ErrorGroupHour.at >= first, ErrorGroupHour.at < until
    )
    found = {row[0]: row[1] for row in db.session().execute(statement)}
    return [(at, found.get(at, 0)) for at in range(first, until, HOUR)]


def trends(group_ids: Sequence[str], now: int) -> dict[str, list[int]]:
    """Return the last 14 days of several groups in 28 buckets each, the newest one last; one statement for all."""
    start = hour_of(now) + HOUR - TREND_BUCKETS * TREND_BUCKET
    bucket = (ErrorGroupHour.at - start) // TREND_BUCKET
    statement = select(ErrorGroupHour.group_id, bucket.label("bucket"), func.sum(ErrorGroupHour.count).label("number"))
    statement = statement.where(ErrorGroupHour.group_id.in_(group_ids), ErrorGroupHour.at >= start)
    series = {group_id: [0] * TREND_BUCKETS for group_id in group_ids}
    for row in db.session().execute(statement.group_by(ErrorGroupHour.group_id, bucket)):
        if 0 <= row.bucket < TREND_BUCKETS:  # a client's clock may be up to a day ahead
            series[row.group_id][row.bucket] = int(row.number)
    return series


@dataclass(frozen=True, slots=True)
class Shares:
    """How the newest errors of a group are spread; each value with its number, the most frequent first."""

    sampled: int
    environment: list[tuple[str, int]]
    user: list[tuple[str, int]]


def releases(group_id: str) -> list[tuple[str, int]]:
    """Return the versions that errors of a group named, each with their number, the most frequent first."""
    row = ErrorGroupRelease
    statement = select(row.release, row.count).where(row.group_id == group_id, row.count > 0)
    found = db.session().execute(statement.order_by(row.count.desc(), row.release).limit(MOST_VALUES))
    return [(release, count) for release, count in found]


def shares(group_id: str) -> Shares:
    """Return how the newest 1,000 errors of a group are spread over environments and people."""
    statement = select(ErrorRecord.environment, ErrorRecord.user)
    statement = statement.where(ErrorRecord.group_id == group_id)
    statement = statement.order_by(ErrorRecord.created_at.desc(), ErrorRecord.seq.desc()).limit(SAMPLE)
    rows = db.session().execute(statement).all()
    spread = [Counter(value for value in values if value is not None) for values in zip(*rows, strict=True)] or [Counter()] * 2
    return Shares(len(rows), *(counter.most_common(MOST_VALUES) for counter in spread))


def executions(group_id: str) -> list[Any]:
    """Return the executions of the newest 1,000 errors of a group, newest first, each as the newest of its errors tells it.

    A row is execution_id, created_at (ms), release, environment and user.
    """
    told = (ErrorRecord.execution_id, ErrorRecord.created_at, ErrorRecord.release, ErrorRecord.environment, ErrorRecord.user)
    statement = select(*told)
    statement = statement.where(ErrorRecord.group_id == group_id, ErrorRecord.execution_id.is_not(None))
    statement = statement.order_by(ErrorRecord.created_at.desc(), ErrorRecord.seq.desc()).limit(SAMPLE)
    newest: dict[str | None, Any] = {}
    for row in db.session().execute(statement):
        newest.setdefault(row.execution_id, row)
    return list(newest.values())


def activity(group_id: str) -> list[ErrorGroupActivity]:
    """Return what was done to a group, the newest first."""
    statement = select(ErrorGroupActivity).where(ErrorGroupActivity.group_id == group_id)
    statement = statement.order_by(ErrorGroupActivity.at.desc(), ErrorGroupActivity.id.desc())
    return list(db.session().scalars(statement.limit(MOST_ENTRIES)))


def find(text: str) -> list[dict[str, str]]:
    """Return up to 8 groups for the command palette whose title or message holds the text."""
    return [
        {"title": group.title, "detail": f"{group.status}, {group.count} times", "url": f"/errors/{group.id}"}
        for group in page(GroupFilters(q=text), 7)
    ]


def _conditions(filters: GroupFilters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if len(filters.status) == 1:
        conditions.append(ErrorGroup.status == filters.status[0])
    elif filters.status:
        conditions.append(ErrorGroup.status.in_(filters.status))
    if filters.severity:
        conditions.append(ErrorGroup.severity.in_(filters.severity))
    if filters.assignee_id is not None:
        conditions.append(ErrorGroup.assignee_id == filters.assignee_id)
    if filters.workflow is not None:
        conditions.append(ErrorGroup.workflow == filters.workflow)
    if filters.release is not None:
        having = select(ErrorGroupRelease.group_id).where(ErrorGroupRelease.release == filters.release)
        conditions.append(ErrorGroup.id.in_(having))
    return conditions
