"""The core's own pages: plugins, system health with dead letters, the API's documentation, first steps."""

from __future__ import annotations

import json
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, redirect, request, url_for

from pilothouse import audit, clock, health
from pilothouse.contract.pages import FirstStep, NavItem
from pilothouse.db import unit_of_work
from pilothouse.errors import Conflict, NotFound
from pilothouse.identity.access_tokens import create_token
from pilothouse.identity.principal import require
from pilothouse.identity.proving import require_proof
from pilothouse.plugins.switches import is_enabled, switch
from pilothouse.runtime import runtime
from pilothouse.signals import Execution
from pilothouse.web import queries
from pilothouse.web.api_examples import documented_groups
from pilothouse.web.console_base import ConsoleView, expose, needs
from pilothouse.web.contribution_words import added
from pilothouse.web.live import done
from pilothouse.web.navigation import current_navigation, first_page, page_of_owner
from pilothouse.web.paging import page_of, read_cursor
from pilothouse.web.panels import panel_answers
from pilothouse.web.snippets import written_snippets
from pilothouse.web.system_api import current_document, describe_plugin
from pilothouse.work import dead_letters
from pilothouse.work.models import Job

LETTERS = 20  # a page
DISTRIBUTION = "pilothouse"  # what is built in comes with it
FIRST_PART = "ingest"  # of the API's documentation: what most people come for
TOKEN_NAME = "First steps"  # noqa: S105 - the name that people see, not a secret

NAVIGATION = (
    NavItem("Plugins", "settings.plugins", "core.plugins.view", "Workspace", 800, "plug"),
    NavItem("System", "settings.system", "core.system.view", "Workspace", 810, "server", "s"),
    NavItem("API", "docs.docs", "core.console.view", "Workspace", 820, "code", "d"),
    NavItem("Get started", "welcome.index", "core.console.view", "Account", 20, "flag"),
)


class SettingsView(ConsoleView):
    """Plugins and the system's state."""

    title = "Settings"
    path = "/settings"
    permission = "core.system.view"

    @expose("/")
    def index(self) -> Any:
        """Go to the first settings page that the reader may open."""
        return redirect(url_for(".plugins" if self.may("core.plugins.view") else ".system"))

    @expose("/plugins")
    @needs("core.plugins.view")
    def plugins(self) -> str:
        """List the plugins with their state and what each adds."""
        found = [describe_plugin(plugin.name) for plugin in runtime().registry.plugins]
        manage = self.may("core.plugins.manage")
        return self.render("ph/plugins.html", plugins=found, added=added, own=DISTRIBUTION, manage=manage)

    @expose("/plugins/<name>", methods=("POST",))
    @needs("core.plugins.manage")
    def change_plugin(self, name: str) -> Response:
        """Switch a plugin on or off."""
        principal = require("core.plugins.manage")
        require_proof()
        wanted = request.form.get("enabled") == "1"
        if wanted != is_enabled(name):
            with unit_of_work():
                switch(name, enabled=wanted, by=principal.id)
                audit.record("plugin.enabled" if wanted else "plugin.disabled", f"plugin:{name}")
        word = "on" if wanted else "off"
        return done(f"{describe_plugin(name).title} is switched {word}", url_for(".plugins"))

    @expose("/system")
    @needs("core.system.view")
    def system(self) -> str:
        """Show checks with their remedies, the queue, dead letters and the stores."""
        letters, older = _letters() if self.may("core.dead_letters.view") else (None, None)
        entries, head = queries.audit_head()
        waiting, oldest = queries.waiting_deltas()
        return self.render(
            "ph/system.html", findings=health.run_checks(), jobs=dead_letters.counts(), letters=letters, older=older,
            attempts=dead_letters.attempts_of(job.id for job in letters or ()), payload=msgspec.json.decode,
            replay=self.may("core.dead_letters.replay"), waiting=waiting, oldest=oldest,
            size=queries.database_size(), entries=entries, head=head, settings=runtime().settings.public(),
        )  # fmt: skip

    @expose("/system/dead-letters/<job_id>/replay", methods=("POST",))
    @needs("core.dead_letters.replay")
    def replay(self, job_id: str) -> Response:
        """Run a dead letter again."""
        job = dead_letters.replay(job_id)
        return done(f"{job.task} runs again", url_for(".system"))

    @expose("/system/dead-letters/replay", methods=("POST",))
    @needs("core.dead_letters.replay")
    def replay_many(self) -> Response:
        """Run the selected dead letters again; what runs or waits already is passed over."""
        again = 0
        for job_id in request.form.getlist("id")[:LETTERS]:
            with suppress(Conflict, NotFound):
                dead_letters.replay(job_id)
                again += 1
        return done("1 task runs again" if again == 1 else f"{again} tasks run again", url_for(".system"))


def _letters() -> tuple[list[Job], str | None]:
    """Return a page of the dead letters, the last to give up first, and the cursor of the next page."""
    cursor = request.args.get("cursor")
    rows = dead_letters.newest(LETTERS + 1, read_cursor(cursor) if cursor else None)
    return page_of(rows, LETTERS, lambda job: (job.finished_at, job.id))


class DocsView(ConsoleView):
    """The API's documentation, made from the routes themselves."""

    title = "API"
    path = "/api"
    permission = "core.console.view"

    @expose("/")
    def index(self) -> Any:
        """Go to the documentation."""
        return redirect(url_for(".docs"))

    @expose("/docs")
    def docs(self) -> str:
        """Show every operation with its parameters, schemas and an example."""
        document = current_document()
        groups = documented_groups(document)
        wanted = request.args.get("tag", FIRST_PART)
        shown = next((group for group in groups if group.tag == wanted), None)
        if shown is None:
            raise NotFound(f"The API has no part named {wanted}.")
        return self.render("ph/docs.html", document=document, groups=groups, shown=shown)


class WelcomeView(ConsoleView):
    """First steps: a token, a snippet, and the first execution as it arrives."""

    title = "Get started"
    path = "/welcome"
    permission = "core.console.view"

    @expose("/")
    def index(self) -> Any:
        """Show the steps."""
        return self._page("")

    @expose("/token", methods=("POST",))
    @needs("core.tokens.make")
    def make_token(self) -> Response:
        """Make a token for sending signals; this answer is the only place that ever shows it."""
        with unit_of_work():
            _, token = create_token(TOKEN_NAME, ["ingest"], maker=require("core.tokens.make"))
        response = Response(self._page(token), HTTPStatus.CREATED)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _page(self, token: str) -> str:
        return self.render(
            "ph/welcome.html", token=token, may_make=self.may("core.tokens.make"), since=clock.now(),
            base_url=runtime().settings.base_url, snippets=written_snippets(token),
            steps=panel_answers("welcome", kind=FirstStep),
            arrived=_first_arrival() if queries.token_used_since(0) else None,
        )  # fmt: skip

    @expose("/arrived")
    def arrived(self) -> Response:
        """Tell the waiting page where to go once a signal came in after the moment `since` (ms)."""
        since = request.args.get("since", clock.now(), type=int)
        url = _first_arrival() if queries.token_used_since(since) else None
        response = Response(json.dumps({"url": url}), mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response


def _first_arrival() -> str:
    """Return where the first signal is seen, whichever client sent it: the executions' page, else the first page there is."""
    navigation, principal = current_navigation(), require("core.console.view")
    return page_of_owner(navigation, principal, Execution) or first_page(navigation, principal) or url_for("welcome.index")


PAGES = (
    lambda: SettingsView("settings"),
    lambda: DocsView("docs"),
    lambda: WelcomeView("welcome"),
)
