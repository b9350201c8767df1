"""The card on the page of one's account."""

from __future__ import annotations

from flask import render_template
from markupsafe import Markup

from pilothouse_factors import service


def account_card(user_id: str) -> Markup:
    """Say which second factors somebody has."""
    kept = service.authenticator(user_id)
    on = kept is not None and kept.confirmed_at is not None
    page = render_template("factors/_card.html", passkeys=len(service.passkeys(user_id)), codes=on)
    return Markup(page)  # noqa: S704 - a template's own output
