"""Until when a group stays resolved or ignored: for good, for a time, or up to a version.

Versions are told apart by when an error of each first happened: nothing else says which of `2026.11.3` and `4f1c09e` is newer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select

from pilothouse.sdk import DAY, Invalid, db, in_list, in_list_sql, now, run_many
from pilothouse_errors.models import ErrorRelease
from pilothouse_errors.tallying import IGNORED, OPEN, RESOLVED

TIME, THIS_VERSION, NEXT_VERSION = "time", "this_version", "next_version"
SPANS = {"day": DAY, "week": 7 * DAY}
CHOICES: Mapping[str, tuple[str, ...]] = {
    OPEN: (), RESOLVED: (THIS_VERSION, NEXT_VERSION), IGNORED: (*SPANS, NEXT_VERSION),
}  # fmt: skip

RELEASES: Table = ErrorRelease.__table__


@dataclass(frozen=True, slots=True)
class Hold:
    """What a group waits for: columns `until`, `until_at` and `until_release` of its row.

    `until` is None for good. `until_at` (ms) is when it ends by itself, or when an error of `until_release` first happened.
    """

    until: str | None = None
    until_at: int | None = None
    until_release: str | None = None


def choose(status: str, until: str | None, until_at: int | None) -> Hold:
    """Return what somebody chose for a status: one of `CHOICES`, or a moment (ms) up to which it is ignored.

    Raises Invalid for what does not go with the status, a moment that is over, or a version where none was ever named.
    """
    if until is not None and until not in CHOICES[status]:
        allowed = " or ".join(CHOICES[status])
        raise Invalid.field("until", f"is {allowed or 'left out'} where the status is {status}")
    if until_at is not None and (status != IGNORED or until is not None):
        raise Invalid.field("until_at", "goes with the status ignored alone, and without until")
    if until in SPANS:
        return Hold(TIME, now() + SPANS[until])
    if until_at is not None:
        if until_at <= now():
            raise Invalid.field("until_at", "must be in the future")
        return Hold(TIME, until_at)
    if until is None:
        return Hold()
    newest = newest_releases(1)
    if not newest:
        raise Invalid.field("until", "no error has named a release yet")
    return Hold(until, newest[0].first_seen_at, newest[0].release)


def newest_releases(limit: int) -> list[ErrorRelease]:
    """Return the versions whose first errors happened last, the newest first."""
    order = (ErrorRelease.first_seen_at.desc(), ErrorRelease.release.desc())
    fresh = select(ErrorRelease).execution_options(populate_existing=True)
    return list(db.session().scalars(fresh.order_by(*order).limit(limit)))


def comes_back(group: Mapping[str, Any], at: int, release: str | None, seen: Mapping[str, int]) -> bool:
    """Say whether an error of this moment (ms) and version opens its group again.

    `seen` says when versions were first seen (ms); one that it does not name is new.
    """
    status, until = group["status"], group["until"]
    if status == OPEN or (status == RESOLVED and at <= group["resolved_at"]):
        return False
    if until is None:
        return bool(status == RESOLVED)
    if until == TIME:
        return bool(at >= group["until_at"])
    if release is None:  # nothing says whether the fix was in it
        return bool(status == RESOLVED)
    if release == group["until_release"]:
        return bool(until == THIS_VERSION)
    return bool(release not in seen or seen[release] > group["until_at"])


def keep_releases(connection: Connection, errors: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Remember when versions were first seen; returns what was known of those of the errors before (ms by version)."""
    first: dict[str, int] = {}
    for error in errors:
        if (release := error["release"]) is not None:
            first[release] = min(error["created_at"], first.get(release, error["created_at"]))
    if not first:
        return {}
    sql = in_list_sql(connection, RELEASES, ("release", "first_seen_at"), "release")
    known = {row[0]: row[1] for row in connection.exec_driver_sql(sql, (in_list(connection, sorted(first)),))}
    earlier = [(name, at) for name, at in sorted(first.items()) if at < known.get(name, at + 1)]
    statement = "INSERT INTO error_releases (release, first_seen_at) VALUES (?, ?) "
    statement += "ON CONFLICT (release) DO UPDATE SET first_seen_at = excluded.first_seen_at"
    run_many(connection, statement, earlier)
    return known
