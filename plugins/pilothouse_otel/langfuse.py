"""Reading Langfuse's JSON batches (SDK 2, and the scores of later ones).

https://api.reference.langfuse.com, ingestion. A batch is a list of events: traces and observations are created and then
updated, by any number of events that name only what changed. Each event gets a verdict of its own.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from pilothouse.sdk import DAY, EventSignal, Malformed, TooLarge, clean, new_id, parse_id, raw
from pilothouse_otel.cleaning import clean_body
from pilothouse_otel.kinds import OBSERVATIONS
from pilothouse_otel.limits import LONGEST_NAME, MOST_ITEMS
from pilothouse_otel.values import bounded, cut, first_text, moment

Body = dict[str, Any]
TIMES = ("timestamp", "startTime", "endTime", "start_time", "end_time", "completionStartTime")
_OBSERVATION = re.compile(r"([a-z]{1,20})-(?:create|update)")
_IGNORED = frozenset({"sdk-log"})  # the SDK's own troubles


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event."""

    id: str
    status: int
    message: str = ""
    error: str = ""


class Batch(msgspec.Struct):
    """What a batch says, united by trace and observation; `places` holds where in the batch each was named last."""

    traces: dict[str, Body]
    observations: dict[tuple[str, str], Body]
    scores: list[tuple[int, EventSignal]]
    places: dict[tuple[str, str], int]
    verdicts: list[Verdict]


def decode(body: bytes) -> Any:
    """Decode JSON, also with lone surrogates and bare NaN, as some SDKs write it. Raises Malformed."""
    try:
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return clean(json.loads(body))
    except ValueError as fault:
        raise Malformed(f"The body is not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("The body is nested too deep.") from None


def read_batch(document: Any, now: int) -> Batch:
    """Read a batch. `now` is in Unix ms. Raises Malformed and TooLarge for the whole; bad events have their verdicts."""
    events = document.get("batch") if isinstance(document, dict) else None
    if not isinstance(events, list):
        raise Malformed('The body must be {"batch": [...]}.')
    if len(events) > MOST_ITEMS:
        raise TooLarge(f"{len(events)} events; one batch takes {MOST_ITEMS}.")
    batch = Batch({}, {}, [], {}, [])
    for place, event in enumerate(events):
        name = str(event.get("id") or new_id()) if isinstance(event, dict) else new_id()
        try:
            _take(batch, event, place, now)
        except ValueError as fault:
            batch.verdicts.append(Verdict(cut(name), 400, str(fault), "Invalid request data"))
        else:
            batch.verdicts.append(Verdict(cut(name), 201))
    return batch


def _take(batch: Batch, event: Any, place: int, now: int) -> None:
    kind, body = (event.get("type"), event.get("body")) if isinstance(event, dict) else (None, None)
    if not isinstance(kind, str) or not isinstance(body, dict):
        raise ValueError("an event has a type and a body")  # noqa: TRY004 - a verdict on the event, told as one text
    told = tell(body)
    if any((moment(told.get(name)) or 0) > now + DAY for name in TIMES):
        raise ValueError("a time lies more than 24 hours in the future")
    if kind == "trace-create":
        _add_trace(batch, told, event, place)
    elif kind == "score-create":
        batch.scores.append((place, score_of(told, moment(event.get("timestamp")))))
    elif kind not in _IGNORED:
        _add_observation(batch, kind, told, place)


def tell(body: Body) -> Body:
    """Return what a body says: within the limits, cleaned, and without what it leaves empty."""
    told: Body = bounded({name: value for name, value in body.items() if value is not None})
    return clean_body(told)


def _add_trace(batch: Batch, told: Body, event: Body, place: int) -> None:
    trace_id = parse_id(told.get("id"))
    said = {**told, "told_at": event.get("timestamp")}
    batch.traces[trace_id] = {**batch.traces.get(trace_id, {}), **said}
    batch.places[trace_id, ""] = place


def _add_observation(batch: Batch, kind: str, told: Body, place: int) -> None:
    match = _OBSERVATION.fullmatch(kind)
    observed = match[1] if match is not None else ""
    if observed == "observation":
        observed = str(told.get("type", "span")).lower()
    if observed not in OBSERVATIONS:
        raise ValueError(f"the type {kind[:60]!r} is not known")
    key = (parse_id(told.get("traceId")), parse_id(told.get("id")))
    if told.get("parentObservationId"):
        parse_id(told["parentObservationId"])
    batch.observations[key] = {**batch.observations.get(key, {}), **told, "type": observed}
    batch.places[key] = place


def score_of(body: Body, at: int | None) -> EventSignal:
    """Make the event of a score. Raises ValueError where it has no name or a bad id."""
    name = first_text(body, ("name",))
    if name is None:
        raise ValueError("a score has a name")
    told = {
        "value": body.get("value"), "comment": body.get("comment"), "data_type": body.get("dataType"),
        "execution_id": body.get("traceId"), "step_id": body.get("observationId"), "metadata": body.get("metadata"),
    }  # fmt: skip
    return EventSignal(
        id=parse_id(body.get("id") or new_id()),
        name=cut(f"score.{name}", LONGEST_NAME),
        component="langfuse",
        session=first_text(body, ("sessionId",)),
        at=moment(body.get("timestamp")) or at,
        properties=raw({key: value for key, value in told.items() if value is not None}),
    )
