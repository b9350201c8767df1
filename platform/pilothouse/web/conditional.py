"""Conditional answers: an ETag from revision counters, so that an unchanged poll costs no database query.

The counters live in Valkey and are raised after each commit that changes their topic. Where Valkey is away there is no
cheap ETag: the answer is computed and its own bytes are hashed.
"""

from __future__ import annotations

import hashlib

from flask import Response, request

from pilothouse import clock
from pilothouse.runtime import runtime

# A process killed between its commit and the raise leaves a counter behind; the clock in the ETag bounds that to a minute.
OLDEST = clock.MINUTE


def etag_of(topics: tuple[str, ...], *context: object) -> str | None:
    """Return the ETag of an answer that depends on the topics, the URL and the context; None where nobody can say."""
    revision = runtime().changes.revision(*topics)
    if revision is None:
        return None
    parts = (revision, request.full_path, clock.now() // OLDEST, *context)
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:32]


def unchanged(etag: str | None) -> Response | None:
    """Return the 304 where the caller has this version already, else None."""
    if etag is None or not request.if_none_match.contains_weak(etag):
        return None
    response = Response(status=304)
    return tagged(response, etag)


def tagged(response: Response, etag: str | None) -> Response:
    """Set the ETag, from the answer's bytes where there is none yet; such an answer may still become a 304."""
    if etag is None:
        etag = hashlib.sha256(response.get_data()).hexdigest()[:32]
        if request.if_none_match.contains_weak(etag):
            response = Response(status=304)
    response.set_etag(etag, weak=True)
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.update(("Cookie", "Authorization"))
    return response
