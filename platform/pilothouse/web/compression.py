"""HTML and JSON answers leave compressed (gzip level 4), so that the one-command server needs no proxy in front.

Level 4 is where a page of 100 kB costs under 1 ms and is within 6 % of level 9. Compressed pages carry a CSRF token, so
the token is masked anew in each answer (web/csrf.py), which takes BREACH its fixed text.
"""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

LEVEL = 4
LEAST = 600  # bytes; below that the header costs what is saved
TYPES = frozenset({"text/html", "application/json", "application/problem+json", "text/plain"})


def init_compression(app: Flask) -> None:
    """Compress what is worth it, after everything else has looked at the answer."""
    app.after_request(compress)


def compress(response: Response) -> Response:
    """Compress an answer whose whole body is known; streams and what is compressed already stay as they are."""
    if response.mimetype not in TYPES or response.is_streamed or response.direct_passthrough:
        return response
    response.vary.add("Accept-Encoding")
    if not request.accept_encodings.quality("gzip") or "Content-Encoding" in response.headers:
        return response
    body = response.get_data()
    if len(body) < LEAST or response.status_code in {204, 304}:
        return response
    response.set_data(gzip.compress(body, LEVEL, mtime=0))
    response.headers["Content-Encoding"] = "gzip"
    etag, weak = response.get_etag()
    if etag and not weak:
        response.set_etag(etag, weak=True)  # the bytes differ from the plain form's
    return response
