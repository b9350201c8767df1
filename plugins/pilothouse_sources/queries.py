"""Reads: who sent what within a period, and why some of it was refused."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import func, select

from pilothouse.sdk import DAY, Period, access_tokens, db
from pilothouse_sources.models import SourceDay, SourceRefusal

MOST = 500  # lines, those heard of last first
MOST_REASONS = 1_000  # of all lines together, the newest: each is a row of the page

Who = tuple[str, str, str]  # token, client, version


@dataclass(frozen=True, slots=True)
class Reason:
    """Why signals of a source were refused: the field, what was wrong with it, how often, and the newest signal."""

    field: str
    message: str
    count: int
    last_at: int
    last_signal: str | None


@dataclass(slots=True)
class Line:
    """What one client sent with one token; counts are of whole days (UTC)."""

    client: str
    version: str
    token_id: str
    token: str | None
    requests: int
    accepted: int
    duplicates: int
    rejected: int
    last_at: int
    reasons: list[Reason] = field(default_factory=list)


def lines(period: Period) -> list[Line]:
    """Return the sources of the days that a period touches, the one heard of last first."""
    table = SourceDay
    sums = [func.sum(getattr(table, name)) for name in ("requests", "accepted", "duplicates", "rejected")]
    last = func.max(table.last_at)
    found = db.session.execute(
        select(table.token_id, table.client, table.version, *sums, last)
        .where(table.day >= period.since - period.since % DAY, table.day < period.until)
        .group_by(table.token_id, table.client, table.version)
        .order_by(last.desc(), table.token_id, table.client, table.version)
        .limit(MOST)
    ).all()
    names = access_tokens.token_names(row.token_id for row in found)
    told = _reasons(period) if any(row[6] for row in found) else {}
    return [
        Line(client, version, token, names.get(token), int(requests), int(accepted), int(known), int(rejected), at,
             told.get((token, client, version), []))
        for token, client, version, requests, accepted, known, rejected, at in found
    ]  # fmt: skip


def _reasons(period: Period) -> dict[Who, list[Reason]]:
    table = SourceRefusal
    count, last = func.sum(table.count), func.max(table.last_at)
    # ids are compared as text: whichever of a period's is shown, it is one of this reason
    found = db.session.execute(
        select(table.token_id, table.client, table.version, table.field, table.message, count, last,
               func.max(table.last_signal))
        .where(table.day >= period.since - period.since % DAY, table.day < period.until)
        .group_by(table.token_id, table.client, table.version, table.field, table.message)
        .order_by(last.desc(), table.token_id, table.client, table.version, table.field, table.message)
        .limit(MOST_REASONS)
    )  # fmt: skip
    by_source: dict[Who, list[Reason]] = defaultdict(list)
    for token, client, version, name, message, times, at, signal in found:
        by_source[(token, client, version)].append(Reason(name, message, int(times), at, signal))
    return by_source

