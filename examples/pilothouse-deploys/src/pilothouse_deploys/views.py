"""The page and the card on an execution's page."""

from __future__ import annotations

from typing import Any

from flask import render_template

from pilothouse.sdk import ConsoleView, expose
from pilothouse_deploys import api, queries

SHOWN = 50
ON_A_CARD = 3


class DeploysView(ConsoleView):
    """The newest deployments, live."""

    title = "Deployments"
    path = "/deploys"
    permission = api.VIEW

    @expose("/")
    def index(self) -> Any:
        """Show the newest deployments; a poll gets only their rows."""
        return self.live("deploys/index.html", "deploys/_rows.html", ("deploys",), lambda: {"deploys": queries.newest(SHOWN)})


def card(_execution_id: str) -> str | None:
    """Return the card for an execution's page; nothing where nothing was deployed yet."""
    newest = queries.newest(ON_A_CARD)
    return render_template("deploys/card.html", deploys=newest) if newest else None
