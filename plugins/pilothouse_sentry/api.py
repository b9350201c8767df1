"""The two addresses that Sentry's SDKs make out of a DSN: for envelopes, and for the bare events of older ones."""

from __future__ import annotations

from flask import Response
from werkzeug.exceptions import HTTPException

from pilothouse.sdk import ApiBlueprint, Door, Malformed, NotFound, PilothouseError, now, open_to_browsers, read_body
from pilothouse_sentry import answers
from pilothouse_sentry.door import submit
from pilothouse_sentry.envelope import Item, header_of, items_of, scope_of
from pilothouse_sentry.limits import MOST_BYTES
from pilothouse_sentry.translation import translate
from pilothouse_sentry.values import decode, identifier

SEND = "core.signals.send"
PROJECT_DIGITS = 20


def blueprint(door: Door) -> ApiBlueprint:
    """Make the blueprint; its faults are answered as Sentry answers them."""

    def envelope(project: str) -> Response:
        """Send an envelope (Sentry).

        As Sentry's SDKs make them, at most 20 MiB after decompression; the access token is the key of the DSN. Events
        become errors, transactions and spans executions with their steps and tokens, the rest telemetry. Answers after the
        commit; items that are not used are counted. 429 with `Retry-After` and `X-Sentry-Rate-Limits` over the limit.
        """
        _check_project(project)
        with door.serve():
            return take_envelope(read_body(MOST_BYTES))

    def store(project: str) -> Response:
        """Send one event (Sentry, SDKs before envelopes).

        The event as JSON; otherwise as with envelopes.
        """
        _check_project(project)
        with door.serve():
            return take_event(read_body(MOST_BYTES))

    bp = ApiBlueprint("sentry")
    bp.post("/<project>/envelope", permission=SEND, transaction=False)(envelope)
    bp.post("/<project>/store", permission=SEND, transaction=False)(store)
    open_to_browsers(bp)
    bp.register_error_handler(PilothouseError, answers.fault)
    bp.register_error_handler(HTTPException, answers.fault)
    return bp


def _check_project(project: str) -> None:
    """Take any number: there is one project here. Raises NotFound for what is none."""
    if not project.isascii() or not project.isdigit() or len(project) > PROJECT_DIGITS:
        raise NotFound("No such project: the DSN ends in a number.")


def take_envelope(body: bytes) -> Response:
    """Store an envelope and answer. Raises Malformed where it has no header."""
    header = header_of(body)
    scope = scope_of(header, now())
    made = translate(items_of(body), scope)
    submit(made)
    return answers.accepted(identifier(scope.event_id) or made.event_id)


def take_event(body: bytes) -> Response:
    """Store a bare event and answer. Raises Malformed where it is none."""
    try:
        event = decode(body)
    except Malformed as fault:
        raise Malformed(f"invalid event: {fault.detail}") from None
    if not isinstance(event, dict):
        raise Malformed("invalid event: it is no object")
    kind = "transaction" if event.get("type") == "transaction" else "event"
    scope = scope_of({}, now())
    made = translate([Item(kind, {}, body, 0)], scope)
    submit(made)
    return answers.accepted(identifier(event.get("event_id")) or made.event_id)
