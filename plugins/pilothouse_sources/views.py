"""The page of the sources: who sends what, what was refused and why, and how to connect the next one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, request

from pilothouse.sdk import (
    ConsoleView,
    Invalid,
    access_tokens,
    expose,
    needs,
    read_query,
    require,
    unit_of_work,
    written_snippets,
)
from pilothouse_sources import api, queries
from pilothouse_sources.api import SourceQuery

TOKEN_NAME = "Sources"  # noqa: S105 - the name that people see, not a secret
MAKE = "core.tokens.make"
EVERY_S = 15


class SourcesView(ConsoleView):
    """Who sends signals."""

    title = "Sources"
    path = "/sources"
    permission = api.VIEW

    @expose("/")
    def index(self) -> Any:
        """Show the sources; a poll gets only the rows."""
        return self.live("sources/list.html", "sources/_rows.html", ("sources",), lambda: self._list(""))

    @expose("/token", methods=("POST",))
    @needs(MAKE)
    def make_token(self) -> Response:
        """Make a token for sending signals; this answer is the only place that ever shows it."""
        with unit_of_work():
            _, token = access_tokens.create_token(TOKEN_NAME, ["ingest"], maker=require(MAKE))
        response = Response(self.render("sources/list.html", **self._list(token)), HTTPStatus.CREATED)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _list(self, token: str) -> dict[str, Any]:
        query = _read()
        found = queries.lines(query.period())
        refused = [(line, reason) for line in found for reason in line.reasons]
        return {
            "lines": found, "refused": sorted(refused, key=lambda pair: -pair[1].last_at), "token": token,
            "snippets": written_snippets(token), "may_make": self.may(MAKE), "every": EVERY_S,
            "range": "custom" if query.since or query.until else query.range or api.RANGE,
            "rejected": sum(line.rejected for line in found),
        }  # fmt: skip


def _read() -> SourceQuery:
    """Read the page's period; what is none is passed over, so that an old link still opens."""
    try:
        query = read_query(request.args.to_dict(flat=False), SourceQuery)
        query.period()
    except Invalid:
        return SourceQuery()
    return query
