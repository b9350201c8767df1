"""The way of every request through this plugin: who it is from, what is said where too many come, its signals into ingest."""

from __future__ import annotations

import re
from functools import partial

from flask import request

from pilothouse.sdk import Source, TooManyRequests, charge, current_principal, runtime, unit_of_work
from pilothouse_sentry import service
from pilothouse_sentry.cleaning import scrub
from pilothouse_sentry.translation import Translation

LONGEST_CLIENT = 100
_CLIENT = re.compile(r"(?:^|[\s,])sentry_client\s*=\s*([^\s,]+)")
# raised by the door where too many requests work already
FULL = partial(TooManyRequests, "Too many envelopes are being stored; send again a little later.", retry_after=2)


def submit(made: Translation) -> None:
    """Clean, count and store signals; check-ins together with what they say of their monitors."""
    principal = current_principal()
    if not made.items or principal is None:
        return
    charge(principal.id, len(made.items))
    signals = scrub(made.items)
    if not made.check_ins:
        runtime().ingest.submit(signals, source())
        return
    with unit_of_work():
        runtime().ingest.submit(signals, source())
        service.note(made.check_ins)


def source() -> Source:
    """Return who sends the running request."""
    principal = current_principal()
    return Source(principal.token_id if principal else None, client_name())


def client_name() -> str:
    """Return the name by which the sending SDK introduces itself."""
    told = _CLIENT.search(request.headers.get("X-Sentry-Auth", "")[:1_000])
    name = told[1] if told else request.args.get("sentry_client") or request.headers.get("User-Agent", "")
    return name[:LONGEST_CLIENT]
