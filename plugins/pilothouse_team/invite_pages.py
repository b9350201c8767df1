"""The pages behind an invitation's link. They work without scripts; a GET never spends the link."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, render_template, request

from pilothouse.sdk import PUBLIC, Invalid, check_origin, enter, needs, refuse
from pilothouse_team import invites
from pilothouse_team.models import Invite
from pilothouse_team.permissions import SENTENCES

STATUS = {
    "open": HTTPStatus.OK, "unknown": HTTPStatus.NOT_FOUND, "used": HTTPStatus.GONE, "expired": HTTPStatus.GONE,
}  # fmt: skip


def blueprint() -> Blueprint:
    """Make the blueprint: outside of /api, open to who holds a link."""
    bp = Blueprint("team_invite", __name__)
    bp.add_url_rule("/invite/<token>", "confirm", _open_to_all(confirm), methods=["GET"])
    bp.add_url_rule("/invite/<token>", "use", _open_to_all(use), methods=["POST"])
    return bp


def _open_to_all(handler: Any) -> Any:
    @needs(PUBLIC)
    def view(token: str) -> Any:
        return handler(token)

    view.checks_origin_itself = True  # type: ignore[attr-defined]  # the secret is in the link, no session is used
    return view


def confirm(token: str) -> Any:
    """Show who invites to what, and a button."""
    state, row = invites.look(token)
    return _page(state, row)


def use(token: str) -> Any:
    """Accept: make the member and sign in, or say why not."""
    check_origin()
    try:
        accepted = invites.accept(token, request.form.get("name", ""))
    except Invalid:
        return _page(*invites.look(token), problem="At most 255 printable characters.", status=422)
    if accepted.state == "open":
        return enter(accepted.token, "/")
    if accepted.state != "unknown":
        refuse("team.invite_refused", accepted.email, reason=accepted.state)
    return _page(accepted.state, invites.look(token)[1])


def _page(state: str, row: Invite | None, problem: str = "", status: int | None = None) -> tuple[str, int]:
    page = render_template(
        "team/invite.html", state=state, invite=row, problem=problem, sentences=SENTENCES, name=request.form.get("name", "")
    )
    return page, status or STATUS[state]
