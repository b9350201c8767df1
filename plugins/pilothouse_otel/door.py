"""The way of every request through this plugin: who it is from, what is said where too many come, its signals into ingest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flask import request

from pilothouse.sdk import (
    Busy,
    FieldError,
    Outcome,
    Rejection,
    Signal,
    Source,
    charge,
    current_principal,
    runtime,
    unit_of_work,
)
from pilothouse_otel import service
from pilothouse_otel.points import Point
from pilothouse_otel.spans import Refused

LONGEST_CLIENT = 100
UNREAD = -1  # the place of what could not even be read
# raised by the door where too many requests work already
FULL = partial(Busy, "Too many batches are being stored; send this one again.", retry_after=1)


def submit(items: Sequence[tuple[int, Signal]], refused: Refused | None = None) -> Refused:
    """Count and store clean signals; returns what was refused, together with what was before."""
    refused = refused or Refused()
    principal = current_principal()
    if principal is None or not (items or refused.count):
        return refused
    charge(principal.id, len(items))
    before = [Rejection(UNREAD, None, [FieldError("", refused.reason)])] * refused.count
    outcome = runtime().ingest.submit(list(items), source(), Outcome(rejected=before))
    places: dict[int, str] = {}
    for rejection in outcome.rejected:
        if rejection.index != UNREAD:
            places.setdefault(rejection.index, rejection.errors[0].message if rejection.errors else "refused")
    for place in sorted(places):
        refused.add(places[place])
    return refused


def submit_points(points: Sequence[Point], refused: Refused) -> Refused:
    """Add clean points to the measures; returns what was refused, together with what was before."""
    principal = current_principal()
    if principal is None or not (points or refused.count):
        return refused
    charge(principal.id, len(points))
    with unit_of_work():
        recorded = service.record_points(points, refused)
        before = [Rejection(UNREAD, None, [FieldError("", refused.reason)])] * refused.count
        told = Outcome(recorded, len(points) - recorded, before)
        runtime().ingest.submit((), source(), told)
    return refused


def source() -> Source:
    """Return who sends the running request."""
    principal = current_principal()
    return Source(principal.token_id if principal else None, client_name())


def client_name() -> str:
    """Return the name by which the sending library introduces itself."""
    name = request.headers.get("X-Langfuse-Sdk-Name")
    version = request.headers.get("X-Langfuse-Sdk-Version", "")
    told = f"langfuse-{name} {version}".strip() if name else request.headers.get("User-Agent", "")
    return told[:LONGEST_CLIENT]
