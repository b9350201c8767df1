"""From an envelope to signals: each item by its type; what nothing is made of is counted, never refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pilothouse.sdk import Execution, Malformed, Signal
from pilothouse_sentry import checkins, events, telemetry, traces
from pilothouse_sentry.checkins import CheckIn
from pilothouse_sentry.envelope import Item, Scope
from pilothouse_sentry.limits import MOST_SIGNALS
from pilothouse_sentry.values import Json, an_object, decode

Signals = list[tuple[int, Signal]]

BROKEN = "unreadable"  # the type under which items are counted that cannot be read
_TRACES: dict[str, Callable[[Any, Scope, int], Signals]] = {"transaction": traces.of_transaction, "span": traces.of_items}
_OTHERS: dict[str, Callable[[Any, Scope], Iterable[Signal | None]]] = {
    "event": events.translate,
    "error": events.translate,
    "log": telemetry.logs_of,
    "trace_metric": telemetry.metrics_of,
    "check_in": lambda payload, scope: [checkins.translate(payload, scope)],
    "session": lambda payload, scope: [telemetry.session_of(payload, scope)],
    "sessions": telemetry.sessions_of,
    "client_report": telemetry.losses_of,
    "feedback": lambda payload, scope: [telemetry.feedback_of(payload, scope)],
}


class Translation(msgspec.Struct):
    """The signals of a request, each with the place of its item, and the id by which the client knows the whole."""

    items: Signals
    event_id: str
    check_ins: list[CheckIn]


def translate(items: Iterable[Item], scope: Scope) -> Translation:
    """Translate the items of an envelope."""
    made: Signals = []
    left: Counter[str] = Counter()
    event_id = ""
    check_ins: list[CheckIn] = []
    for item in items:
        payload = _payload(item)
        signals = _translate(item, payload, scope)
        if item.kind == "check_in":
            check_ins += filter(None, (checkins.reading_of(payload, run) for _, run in signals if isinstance(run, Execution)))
        if item.kind == "event" and signals and not event_id:
            event_id = signals[-1][1].id
        if not signals and item.kind != "attachment":
            left[item.kind or BROKEN] += 1
        made += signals[: MOST_SIGNALS - len(made)]
    made += ((0, told) for told in telemetry.skipped(left, scope))
    return Translation(made, event_id, check_ins)


def _payload(item: Item) -> Json:
    """Return the payload of an item that something is made of; an empty one where it cannot be read."""
    if item.kind not in _TRACES and item.kind not in _OTHERS:
        return {}
    try:
        return an_object(decode(item.payload))
    except Malformed:
        return {}


def _translate(item: Item, payload: Json, scope: Scope) -> Signals:
    of_trace, of_other = _TRACES.get(item.kind), _OTHERS.get(item.kind)
    if of_trace is not None:
        return of_trace(payload, scope, item.place) if payload else []
    if of_other is None or not payload:
        return []
    return [(item.place, signal) for signal in of_other(payload, scope) if signal is not None]
