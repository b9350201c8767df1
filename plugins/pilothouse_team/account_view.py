"""The reader's own page: their name, and the browsers in which they are signed in."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, request, url_for

from pilothouse.sdk import (
    ConsoleView,
    NotFound,
    Principal,
    done,
    end_other_sessions,
    end_session,
    expose,
    get_user,
    require,
    sessions_of,
    unit_of_work,
)
from pilothouse_team import api, members
from pilothouse_team.permissions import SELF


class AccountView(ConsoleView):
    """One's own name and sessions."""

    title = "Your account"
    path = "/team/sessions"
    permission = SELF

    @expose("/")
    def index(self) -> str:
        """Show the name and the sessions, newest first."""
        by, user_id = _person()
        return self.render("team/account.html", user=get_user(user_id), sessions=sessions_of(user_id), current=by.session_id)

    @expose("/name", methods=("POST",))
    def rename(self) -> Response:
        """Change one's own name."""
        by, user_id = _person()
        with unit_of_work():
            members.change(user_id, by, name=request.form.get("name", ""))
            api.told()
        return done("Your name is saved", url_for(".index"))

    @expose("/<session_id>/end", methods=("POST",))
    def end(self, session_id: str) -> Any:
        """End one session; one's own leads to the sign-in page."""
        by, user_id = _person()
        with unit_of_work():
            end_session(session_id, user_id)
        if session_id == by.session_id:
            return redirect(url_for("signin.login"), 303)
        return done("Signed out there", url_for(".index"))

    @expose("/end-others", methods=("POST",))
    def end_others(self) -> Response:
        """End all sessions but this one."""
        by, user_id = _person()
        with unit_of_work():
            ended = end_other_sessions(user_id, by.session_id or "")
        words = "There was no other session" if not ended else f"Signed out of {ended} other browser{'s' * (ended != 1)}"
        return done(words, url_for(".index"))


def _person() -> tuple[Principal, str]:
    principal = require(SELF)
    if principal.user_id is None:
        raise NotFound("A token of the command line is nobody's: it has no account.")
    return principal, principal.user_id
