"""Live pages: one address, of which a poll fetches only the rows, and which costs no query while nothing changed.

A poll is the page's own URL with `X-Ph-Fragment: rows` and `If-None-Match`. The ETag comes from the revision counters of
the topics, who reads, what they chose, and a clock of 30 s, because a relative range moves by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Response, flash, redirect, render_template, request

from pilothouse import clock
from pilothouse.identity.principal import current_principal
from pilothouse.web.conditional import etag_of, tagged, unchanged
from pilothouse.web.navigation import current_navigation
from pilothouse.web.prefs import current_prefs

FRAGMENT = "X-Ph-Fragment"
ASYNC = "X-Ph-Async"
META = "X-Ph-Meta"
OLDEST = 30 * clock.SECOND


def fragment() -> str:
    """Return which part of the page the script asks for ("rows", "peek"); empty for the whole page."""
    return request.headers.get(FRAGMENT, "")


def live_page(
    page: str,
    rows: str,
    topics: tuple[str, ...],
    query: Callable[[], Mapping[str, Any]],
    *,
    meta: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    render: Callable[..., str] = render_template,
) -> Response:
    """Answer a live page: the template `page`, or for a poll 304 or the template `rows` alone.

    `query` returns what both templates show and runs only where something may have changed. `meta` returns what the
    script patches beside the rows and the sidebar's counts: `counts` (by `data-count`), `stop` where nothing will change
    any more.
    """
    if fragment() != "rows":
        response = Response(render(page, **query()))
        response.vary.update(("Cookie", FRAGMENT))
        return response
    etag = poll_etag(topics)
    same = unchanged(etag)
    if same is None:
        shown = query()
        response = Response(render_template(rows, **shown))
        # Header values are Latin-1: JSON leaves the rest as \\u escapes.
        badges, counted = current_navigation().badges(current_principal())
        response.headers[META] = json.dumps({"badges": badges, **(meta(shown) if meta else {})}, ensure_ascii=True)
        # With counts that were kept the answer is nobody's version: the next poll brings those that were counted since.
        same = tagged(response, etag if counted or etag is None else f"{etag}-kept")
    same.headers["Cache-Control"] = "no-store"  # else Back may show a bare fragment
    same.vary.update(("Cookie", FRAGMENT))
    return same


def poll_etag(topics: tuple[str, ...]) -> str | None:
    """Return the ETag of a fragment for who reads it now; None where the broker is away."""
    principal, prefs = current_principal(), current_prefs()
    who = (principal.id, principal.role) if principal else ("", "")
    return etag_of(topics, *who, prefs, fragment(), clock.now() // OLDEST)


@dataclass(frozen=True, slots=True)
class Undo:
    """How to take an act back: a POST to `url` with these fields."""

    url: str
    fields: Mapping[str, str]
    label: str = "Undo"


def done(text: str, back: str, *, tone: str = "success", undo: Undo | None = None) -> Response:
    """Answer an act: a toast for the script that sent the form, a redirect with the same words for everybody else."""
    if not request.headers.get(ASYNC):
        flash(text, tone)
        return _see(back)
    toast: dict[str, Any] = {"title": text, "tone": tone}
    if undo is not None:
        toast["undo"] = {"url": undo.url, "fields": dict(undo.fields), "label": undo.label}
    response = Response(json.dumps({"toast": toast, "refresh": True}), mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _see(url: str) -> Response:
    response = redirect(url, HTTPStatus.SEE_OTHER)
    return Response(response.get_data(), response.status_code, headers=list(response.headers))
