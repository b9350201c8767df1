"""Questions before what cannot be undone: a dialog where the script runs, this page where it does not.

The script adds `confirmed=1` after its own dialog. So a blocked or missing script can never make a deletion silent
(stock Flask-Admin under a strict CSP does exactly that).
"""

from __future__ import annotations

from flask import Response, render_template, request

from pilothouse.web.csrf import FIELD

CONFIRMED = "confirmed"


def confirmed() -> bool:
    """Say whether the person was asked already."""
    return request.form.get(CONFIRMED) == "1"


def ask(title: str, effect: str, verb: str) -> Response:
    """Return the page that asks, and repeats the request once the person agrees."""
    kept = [(name, value) for name, value in request.form.items(multi=True) if name not in {CONFIRMED, FIELD}]
    return Response(render_template("ph/confirm.html", question=title, effect=effect, verb=verb, kept_fields=kept))
