"""Check-ins of scheduled jobs: each is a run of the workflow that its monitor names, a missed one a run that was not."""

from __future__ import annotations

import msgspec

from pilothouse.sdk import ErrorDetail, Execution, Status, new_id, raw
from pilothouse_sentry.envelope import Scope
from pilothouse_sentry.values import Json, an_object, identifier, moment, number, text_of

MISSED = "missed"
_STATUSES: dict[str, Status] = {
    "in_progress": "running", "ok": "succeeded", "error": "failed", "timeout": "timed_out", MISSED: "failed",
}  # fmt: skip


class CheckIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a check-in says of its monitor: its run's status, whether that is over (`ends`), the `config` as it came."""

    id: str
    status: Status
    slug: str
    environment: str
    at: int
    started_at: int | None
    ends: bool
    config: Json


def reading_of(checkin: Json, run: Execution) -> CheckIn | None:
    """Return what there is to hold against the monitor's schedule; None for one that is told as missed already."""
    if checkin.get("status") == MISSED:
        return None
    ends = run.finished_at is not None
    return CheckIn(
        id=run.id, status=run.status, slug=run.workflow, environment=run.environment or "", ends=ends,
        started_at=run.started_at, at=(run.finished_at if ends else run.started_at) or 0,
        config=an_object(checkin.get("monitor_config")),
    )  # fmt: skip


def translate(checkin: Json, scope: Scope) -> Execution | None:
    """Return the run that a check-in tells of; None where it names no monitor or says nothing known."""
    monitor = text_of(checkin.get("monitor_slug"))
    said = text_of(checkin.get("status")) or ""
    status = _STATUSES.get(said)
    if monitor is None or status is None:
        return None
    at = moment(checkin.get("timestamp"), scope.now) or scope.at
    duration = number(checkin.get("duration"))
    told = {"monitor": monitor, "check_in": said, "config": an_object(checkin.get("monitor_config")),
            "server_name": text_of(checkin.get("server_name"))}  # fmt: skip
    ends = status != "running"
    started_at = at if not ends else max(at - round(duration * 1_000), 0) if duration is not None else None
    return Execution(
        id=identifier(checkin.get("check_in_id")) or new_id(),
        workflow=monitor,
        status=status,
        started_at=None if said == MISSED else started_at,
        finished_at=at if ends else None,
        trigger="schedule",
        environment=text_of(checkin.get("environment")) or scope.environment,
        release=text_of(checkin.get("release")) or scope.release,
        attributes=raw({name: value for name, value in told.items() if value}),
        error=missed_error(monitor, at) if said == MISSED else None,
    )


def missed_error(monitor: str, at: int) -> ErrorDetail:
    """Make the error of a run that did not start when it was due."""
    return ErrorDetail(
        error_type="MissedCheckIn",
        message=f"{monitor} did not run when it was due.",
        at=at,
        severity="high",
        fingerprint=["missed-check-in", monitor],
    )
