"""What an error adds to its group. Every rule is a sum, a minimum or a maximum, so the order of arrival does not matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import HOUR
from pilothouse_errors.severity import RANKS

Row = dict[str, Any]

LONGEST_TITLE = 255  # characters
LONGEST_SAMPLE = 2_000  # characters of the newest message that the group keeps; the error itself has all of it

OPEN, RESOLVED, IGNORED = "open", "resolved", "ignored"


def new_group(key: str, fingerprint: str, reason: str, at: int) -> Row:
    """Return the row of a group that no error was added to yet; `at` is now, in ms."""
    return {
        "id": key, "fingerprint": fingerprint, "reason": reason, "title": "", "error_type": "", "message": "",
        "workflow": None, "environment": None, "status": OPEN, "severity": "low", "severity_set": False, "count": 0,
        "users": 0, "executions": 0, "first_seen_at": 0, "last_seen_at": 0, "last_error_id": "", "first_release": None,
        "first_release_at": None, "last_release": None, "last_release_at": None, "assignee_id": None, "regressed": False,
        "resolved_at": None, "resolved_by": None, "resolution_notes": None, "until": None, "until_at": None,
        "until_release": None, "created_at": at, "updated_at": at,
    }  # fmt: skip


def add(group: Row, error: Mapping[str, Any], workflow: str | None) -> None:
    """Add an error's row to its group's."""
    at = error["created_at"]
    if group["count"] == 0 or at < group["first_seen_at"]:
        group["first_seen_at"] = at
    if group["count"] == 0 or (at, error["id"]) > (group["last_seen_at"], group["last_error_id"]):
        group["last_seen_at"], group["last_error_id"] = at, error["id"]
        group["error_type"], group["message"] = error["error_type"], error["message"][:LONGEST_SAMPLE]
        group["title"] = title_of(error["error_type"], error["message"])
        group["workflow"], group["environment"] = workflow, error["environment"]
    group["count"] += 1
    if not group["severity_set"] and RANKS[error["severity"]] > RANKS[group["severity"]]:
        group["severity"] = error["severity"]
    if error["release"] is not None:
        _add_release(group, at, error["release"])


def title_of(error_type: str, message: str) -> str:
    """Return `type: first line of the message`, at most 255 characters."""
    first = next((line.strip() for line in message[:LONGEST_SAMPLE].splitlines() if line.strip()), "")
    title = f"{error_type}: {first}" if first else error_type
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"


def hour_of(at: int) -> int:
    """Return the start of the hour (UTC) in which a moment lies; both in ms."""
    return at - at % HOUR


def _add_release(group: Row, at: int, release: str) -> None:
    if group["first_release_at"] is None or (at, release) < (group["first_release_at"], group["first_release"]):
        group["first_release"], group["first_release_at"] = release, at
    if group["last_release_at"] is None or (at, release) > (group["last_release_at"], group["last_release"]):
        group["last_release"], group["last_release_at"] = release, at
