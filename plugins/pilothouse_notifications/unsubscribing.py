"""The way out of mails in one click (RFC 8058): a POST from the mail program, without a session; a GET only asks."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template

from pilothouse.sdk import PUBLIC, find_member, needs, unit_of_work
from pilothouse_notifications import categories, mails, preferences


def blueprint() -> Blueprint:
    """Make the blueprint: outside of /api, open to who holds a link."""
    bp = Blueprint("notifications_unsubscribe", __name__)
    bp.add_url_rule("/notifications/unsubscribe/<text>", "ask", _open_to_all(ask), methods=["GET"])
    bp.add_url_rule("/notifications/unsubscribe/<text>", "use", _open_to_all(use), methods=["POST"])
    return bp


def _open_to_all(handler: Any) -> Any:
    @needs(PUBLIC)
    def view(text: str) -> Any:
        return handler(text)

    view.checks_origin_itself = True  # type: ignore[attr-defined]  # the pass in the link is the proof; mail programs have no more
    return view


def ask(text: str) -> str:
    """Show what would end, and a button."""
    return _page(text, done=False)


def use(text: str) -> str:
    """End the mails."""
    user_id, kind = mails.read_pass(text)
    with unit_of_work():
        if find_member(user_id) is not None:
            groups = [kind] if kind in categories.groups() else categories.groups()
            preferences.choose(user_id, {group: {"email": False} for group in groups})
    return _page(text, done=True)


def _page(text: str, *, done: bool) -> str:
    _, kind = mails.read_pass(text)
    what = categories.group_title(kind) if kind else ""
    return render_template("notifications/unsubscribe.html", what=what, done=done)
