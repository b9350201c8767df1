"""The console: Flask-Admin as routing, permission, form and export machinery, with none of its looks.

`Theme(folder="pilothouse")` makes every bundled template unreachable: a forgotten override fails loudly. No file of the
package is served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask, redirect
from flask_admin import Admin, BaseView
from flask_admin.theme import Theme
from jinja2 import ChoiceLoader, FileSystemLoader

from pilothouse.identity.principal import require
from pilothouse.plugins.registry import PluginState, Registry
from pilothouse.runtime import runtime
from pilothouse.web import console_routes, core_pages
from pilothouse.web.compression import init_compression
from pilothouse.web.console_base import NO_STATIC, ConsoleMixin, ConsoleView, expose, needs
from pilothouse.web.console_models import ConsoleModelView
from pilothouse.web.icons import GLYPHS
from pilothouse.web.navigation import EXTENSION, Navigation, first_page
from pilothouse.web.panels import panels
from pilothouse.web.pieces import init_pieces
from pilothouse.web.shell import Shell
from pilothouse.web.static_files import StaticFiles, init_static

__all__ = ["ConsoleAdmin", "ConsoleModelView", "ConsoleView", "add_pages", "expose", "init_console", "needs"]

TEMPLATES = Path(__file__).parent / "templates"


class ConsoleIndex(ConsoleMixin, BaseView):
    """The address `/`: a page of panels where plugins bring some for the slot "home", else the reader's first page."""

    permission = "core.console.view"
    title = "Home"

    def __init__(self, navigation: Navigation) -> None:
        """Take the navigation, which knows the reader's first page."""
        BaseView.__init__(self, name=self.title, endpoint="admin", url="/", static_url_path=NO_STATIC)
        self._navigation = navigation

    @expose("/")
    def index(self) -> Any:
        """Show the home page or go to the first page."""
        principal = require(self.permission)
        cards = panels("home")
        if cards:
            return self.render("ph/home.html", cards=cards)
        return redirect(first_page(self._navigation, principal) or "/welcome")


class ConsoleAdmin(Admin):
    """The Flask-Admin object of one application."""

    def __init__(self, app: Flask, navigation: Navigation, files: StaticFiles) -> None:
        """Mount at the root, without a static folder."""
        self.navigation = navigation
        self.files = files
        theme = Theme(folder="pilothouse", base_template="ph/base.html")
        super().__init__(
            app, name="Pilothouse", url="/", index_view=ConsoleIndex(navigation), theme=theme, static_url_path=NO_STATIC
        )

    def add_view(self, view: BaseView) -> None:
        """Add a page, and let each of its routes state its permission where `mounting.permission_of` looks."""
        super().add_view(view)
        if self.app is None or not isinstance(view, ConsoleMixin):
            raise TypeError(f"{type(view).__name__} is no ConsoleView or ConsoleModelView")
        for _, handler, _ in view._urls:  # noqa: SLF001 - Flask-Admin keeps the exposed handlers there
            endpoint = f"{view.endpoint}.{handler}"
            self.app.view_functions[endpoint] = _stating(self.app.view_functions[endpoint], view.permission_for(handler))


def _stating(view: Any, permission: str) -> Any:
    @needs(permission)
    def route(**arguments: Any) -> Any:
        return view(**arguments)

    return route


def init_console(app: Flask) -> ConsoleAdmin:
    """Add the console and every plugin's pages. Runs inside an application context, after identity."""
    navigation = app.extensions[EXTENSION] = Navigation()
    init_compression(app)
    files = init_static(app)
    app.jinja_loader = ChoiceLoader([FileSystemLoader(TEMPLATES)])
    app.context_processor(lambda: {"shell": Shell(navigation)})
    init_pieces(app)
    console_routes.init_routes(app)
    admin = ConsoleAdmin(app, navigation, files)
    for page in core_pages.PAGES:
        admin.add_view(page())
    add_pages(admin, runtime().registry)
    return admin


def add_pages(admin: ConsoleAdmin, registry: Registry) -> None:
    """Add the pages, templates and static files of every plugin.

    A plugin whose page cannot be made, or whose icon there is not, is marked failed, with the reason; the others go on.
    """
    for plugin in registry.loaded:
        glyph = next((item.icon for item in plugin.contributions.get("navigation", ()) if item.icon not in GLYPHS), None)
        if glyph is not None:  # every page shows the sidebar, so none would show any more
            plugin.state, plugin.reason = "failed", f"there is no icon {glyph!r}; there are {', '.join(sorted(GLYPHS))}"
            continue
        _add_folders(admin, plugin)
        for page in plugin.contributions.get("admin_views", ()):
            try:
                view = page.factory()
                view.plugin, view.endpoint = plugin.name, page.name
                view.permission = page.permission
                admin.add_view(view)
            except Exception as fault:  # noqa: BLE001 - a factory may raise anything; it must stay the plugin's own failure
                plugin.state = "failed"
                plugin.reason = f"its page {page.name} cannot be made: {type(fault).__name__}: {fault}"
                break


def _add_folders(admin: ConsoleAdmin, plugin: PluginState) -> None:
    place = getattr(plugin.module, "__file__", None)
    if place is None or plugin.name == "core" or admin.app is None:
        return
    folder = Path(place).parent
    if (folder / "templates").is_dir() and isinstance(admin.app.jinja_loader, ChoiceLoader):
        admin.app.jinja_loader.loaders = [*admin.app.jinja_loader.loaders, FileSystemLoader(folder / "templates")]
    if (folder / "static").is_dir():
        admin.files.add(plugin.name, folder / "static")
