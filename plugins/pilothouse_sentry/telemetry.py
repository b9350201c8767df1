"""Logs, metrics, sessions, feedback and the SDK's own reports become events of telemetry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pilothouse.sdk import EventSignal, new_id, raw
from pilothouse_sentry.envelope import Scope
from pilothouse_sentry.spans import plain
from pilothouse_sentry.values import Json, an_object, first_text, identifier, moment, number, objects, text_of, whole

ERROR_LEVELS = frozenset({"error", "fatal", "critical"})
BAD_ENDINGS = frozenset({"crashed", "abnormal", "errored", "unhandled"})
COUNTED = ("exited", "errored", "crashed", "abnormal", "unhandled")
LONGEST_MS = 315_360_000_000  # ten years, the longest duration that is taken
_UNITS_MS = {"nanosecond": 1e-6, "microsecond": 1e-3, "millisecond": 1.0, "second": 1e3, "minute": 6e4, "hour": 3.6e6}


def logs_of(value: Any, scope: Scope) -> Iterator[EventSignal]:
    """Return the log records of an item."""
    for record in _listed(value):
        attributes = plain(record.get("attributes"))
        level = text_of(record.get("level")) or "log"
        said = {"message": record.get("body"), "severity": level, **_place(record), **attributes}
        yield _event(record, level, said, scope, ok=level.lower() not in ERROR_LEVELS)


def metrics_of(value: Any, scope: Scope) -> Iterator[EventSignal]:
    """Return the measurements of an item; those in a unit of time are durations."""
    for metric in _listed(value):
        name = text_of(metric.get("name"))
        if name is None:
            continue
        attributes = plain(metric.get("attributes"))
        told = {key: metric.get(key) for key in ("value", "unit") if metric.get(key) is not None}
        said = {**told, "metric": metric.get("type"), **_place(metric), **attributes}
        factor = _UNITS_MS.get(str(metric.get("unit")))
        amount = number(metric.get("value"))
        yield _event(metric, name, said, scope, duration_ms=_ms(amount * factor if factor and amount is not None else None))


def session_of(session: Json, scope: Scope) -> EventSignal | None:
    """Return a session as far as it has come; None without an id."""
    sid = identifier(session.get("sid"))
    if sid is None:
        return None
    status = text_of(session.get("status")) or "ok"
    errors = whole(session.get("errors")) or 0
    attrs = an_object(session.get("attrs"))
    seconds = number(session.get("duration"))
    return EventSignal(
        id=f"{sid[:60]}-{status[:60]}",
        name="session",
        component=_package(text_of(attrs.get("release"))),
        user=text_of(session.get("did")),
        session=sid,
        duration_ms=_ms(seconds * 1_000 if seconds is not None else None),
        ok=status not in BAD_ENDINGS and not errors,
        at=moment(session.get("timestamp"), scope.now) or moment(session.get("started"), scope.now) or scope.at,
        properties=raw({"status": status, "errors": errors, **attrs}),
    )


def sessions_of(sessions: Json, scope: Scope) -> Iterator[EventSignal]:
    """Return sessions that came already counted, an event for each minute."""
    attrs = an_object(sessions.get("attrs"))
    for bucket in objects(sessions.get("aggregates")):
        counts = {name: count for name in COUNTED if (count := whole(bucket.get(name)))}
        yield EventSignal(
            id=new_id(),  # nothing in it says whose they are: two servers may well count the same
            name="sessions",
            component=_package(text_of(attrs.get("release"))),
            user=text_of(bucket.get("did")),
            ok=not counts.keys() & BAD_ENDINGS,
            at=moment(bucket.get("started"), scope.now) or scope.at,
            properties=raw({**counts, **attrs}),
        )


def losses_of(report: Json, scope: Scope) -> Iterator[EventSignal]:
    """Return what an SDK says it could not or would not send."""
    at = moment(report.get("timestamp"), scope.now) or scope.at
    for loss in objects(report.get("discarded_events")):
        told = {"reason": text_of(loss.get("reason")), "category": text_of(loss.get("category")),
                "quantity": whole(loss.get("quantity")) or 0}  # fmt: skip
        yield EventSignal(id=new_id(), name="sentry.discarded", component="sentry", ok=False, at=at, properties=raw(told))


def skipped(kinds: Mapping[str, int], scope: Scope) -> Iterator[EventSignal]:
    """Tell how many items of which types nothing was made of."""
    for kind, count in sorted(kinds.items()):
        told = {"type": kind, "count": count}
        yield EventSignal(id=new_id(), name="sentry.skipped", component="sentry", at=scope.at, properties=raw(told))


def feedback_of(feedback: Json, scope: Scope) -> EventSignal:
    """Return what a person wrote to the makers of a program."""
    said = an_object(an_object(feedback.get("contexts")).get("feedback"))
    return EventSignal(
        id=identifier(feedback.get("event_id")) or identifier(scope.event_id) or new_id(),
        name="feedback",
        component=_package(text_of(feedback.get("release")) or scope.release),
        user=first_text(an_object(feedback.get("user")), ("id", "email")) or first_text(said, ("contact_email",)),
        at=moment(feedback.get("timestamp"), scope.now) or scope.at,
        properties=raw(said),
    )


def _event(record: Json, name: str, said: Json, scope: Scope, **more: Any) -> EventSignal:
    """Make an event of a record; its id is the same whenever the same record comes."""
    digest = hashlib.sha256(msgspec.json.encode(record)).hexdigest()[:32]
    at = moment(record.get("timestamp"), scope.now)
    return EventSignal(
        id=digest if at is not None else new_id(),
        name=name,
        component=first_text(said, ("service.name",)) or _package(text_of(said.get("sentry.release")) or scope.release),
        user=first_text(said, ("user.id", "user.email")),
        session=first_text(said, ("session.id",)),
        at=scope.at if at is None else at,
        properties=raw({key: value for key, value in said.items() if value is not None}),
        **more,
    )


def _listed(value: Any) -> list[Json]:
    payload = an_object(value)
    return objects(payload["items"]) if "items" in payload else [payload] if payload else []


def _place(record: Json) -> Json:
    return {"execution_id": identifier(record.get("trace_id")), "step_id": identifier(record.get("span_id"))}


def _package(release: str | None) -> str | None:
    """Return the program's name out of a release such as `shop@2.4.1`."""
    return release.partition("@")[0] or None if release is not None and "@" in release else None


def _ms(duration: float | None) -> float | None:
    return duration if duration is not None and duration <= LONGEST_MS else None
