"""The base of every page: deny by default, one permission a page or act, and a failing page that is only itself a gap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Response, redirect, render_template, request
from flask_admin import BaseView
from flask_admin import expose as expose_handler
from jinja2 import Environment
from werkzeug.exceptions import HTTPException

from pilothouse.access import Permission
from pilothouse.db import db, explain
from pilothouse.errors import Invalid, NotFound, NotSignedIn, PilothouseError
from pilothouse.identity.principal import current_principal, require
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import application, runtime
from pilothouse.web.live import ASYNC, fragment, live_page
from pilothouse.web.problems import TYPE_BASE, request_id

F = TypeVar("F", bound=Callable[..., Any])
CORE = "core"
NO_STATIC = "/-/none"  # a non-empty path without a folder keeps Flask-Admin from serving its own 21 MB of static files


def expose(path: str = "/", methods: tuple[str, ...] = ("GET",)) -> Callable[[F], F]:
    """Give a handler its path below the page's own, and its methods."""

    def add(handler: F) -> F:
        exposed: F = expose_handler(path, methods)(handler)
        return exposed

    return add


def needs(permission: str) -> Callable[[F], F]:
    """Say which permission a route needs: below `@expose` another one than its page, on a plain view function its own."""

    def state(handler: F) -> F:
        handler.permission = permission  # type: ignore[attr-defined]  # where `mounting.permission_of` looks
        return handler

    return state


def refuse_nul() -> None:
    """Refuse an address, a query or a form with NUL: nothing that is stored holds it, and PostgreSQL takes no question with it.

    Raises NotFound for the address, Invalid that names the field for the rest. The API's readers do the same.
    """
    if any("\0" in str(value) for value in (request.view_args or {}).values()):
        raise NotFound
    for name, value in (*request.args.items(multi=True), *request.form.items(multi=True)):
        if "\0" in value:
            raise Invalid.field(name, "must not hold NUL")


class ConsoleMixin:
    """What all pages share. `permission` is the name of the permission that each handler needs, unless it says another.

    `plugin` is set when the page is added. `title` is the page's name, `path` its address without a slash at the end.
    """

    permission = ""  # nobody has it: a page that states none is closed, and the application does not start with it
    plugin = CORE
    title = ""
    path = ""

    # from the Flask-Admin class that stands beside this one
    endpoint: str
    render: Callable[..., str]
    _urls: list[tuple[str, str, tuple[str, ...]]]

    def permission_for(self, handler: str) -> str:
        """Return the name of the permission that a handler needs."""
        return str(getattr(getattr(type(self), handler), "permission", self.permission))

    def may(self, permission: str) -> bool:
        """Say whether the reader has a permission; templates ask it to leave out what would be refused."""
        principal = current_principal()
        found: Permission = runtime().registry.permission(permission)
        return principal is not None and principal.may(found)

    def is_accessible(self) -> bool:
        """Say whether the reader may open the page at all."""
        return self.may(self.permission)

    def _handle_view(self, handler: str, /, **_arguments: Any) -> Any:
        if self.plugin != CORE and not is_enabled(self.plugin):
            raise NotFound(f"The plugin {self.plugin} is switched off.")
        try:
            require(self.permission_for(handler))
        except NotSignedIn:
            if request.method != "GET" or fragment() or request.headers.get(ASYNC):
                raise
            return redirect(f"/login?next={quote(request.full_path.rstrip('?'), safe='/')}", HTTPStatus.SEE_OTHER)
        refuse_nul()
        return None

    def _run_view(self, handler: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        name = getattr(handler, "__name__", "page")
        try:
            answer = handler(self, *args, **kwargs)
        except (PilothouseError, HTTPException):
            raise
        except Exception as fault:  # a plugin's page may fail in any way; it must stay that page's own failure
            if self.plugin == CORE or explain(fault) is not None:
                raise
            return self._failed(name, fault)
        runtime().registry.guard.note_success(self.plugin, f"page {name}")
        return answer

    def _failed(self, handler: str, fault: Exception) -> Response:
        db.session.rollback()
        runtime().registry.guard.note(self.plugin, f"page {handler}", fault)
        problem = {
            "type": f"{TYPE_BASE}plugin", "title": f"{self.title or self.plugin} could not be shown",
            "status": HTTPStatus.INTERNAL_SERVER_ERROR.value, "request_id": request_id(),
            "detail": f"The plugin {self.plugin} failed on this page. The rest of the console works; the log has the reason.",
        }  # fmt: skip
        return Response(render_template("ph/error.html", problem=problem), HTTPStatus.INTERNAL_SERVER_ERROR)

    def live(
        self, page: str, rows: str, topics: tuple[str, ...], query: Callable[[], Mapping[str, Any]], **options: Any
    ) -> Response:
        """Answer a live page; see `live.live_page`."""
        return live_page(page, rows, topics, query, render=self.render, **options)


class ConsoleView(ConsoleMixin, BaseView):
    """A page with handlers of its own: live lists, analytics, flows. Subclasses set `title`, `path`, `permission`."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Take the endpoint's name; `AdminView.name` sets it where a plugin offers the page."""
        BaseView.__init__(self, name=self.title, endpoint=endpoint, url=self.path, static_url_path=NO_STATIC)

    def render(self, template: str, **shown: Any) -> str:
        """Render a template; for a peek only its block `content`, so that there is one detail view and not two."""
        if fragment() == "peek":
            return render_block(application().jinja_env, template, "content", {**shown, "admin_view": self})
        return str(BaseView.render(self, template, **shown))


def render_block(environment: Environment, template: str, block: str, shown: Mapping[str, Any]) -> str:
    """Render one block of a template with all that templates usually get."""
    app = application()
    found = environment.get_template(template)
    values = dict(shown)
    app.update_template_context(values)
    return "".join(found.blocks[block](found.new_context(values)))
