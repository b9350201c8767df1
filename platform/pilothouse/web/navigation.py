"""The sidebar: what plugins offer, in sections of a fixed order, filtered by what the reader may open.

Badges are counts that plugins answer. They run through the guard and are kept for two seconds, so that a page with
many of them costs no more than one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from flask import request, url_for
from werkzeug.routing import BuildError

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.contract.pages import NavItem
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import application, runtime
from pilothouse.signals import Signal

SECTIONS = ("Monitor", "Insights", "Workspace")  # in this order; sections of plugins' own follow by name
ACCOUNT = "Account"  # pages about the reader: in their menu at the foot of the sidebar
KEPT = 2 * clock.SECOND
EXTENSION = "pilothouse.navigation"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the reader sees it."""

    title: str
    url: str
    endpoint: str
    icon: str
    keys: str
    active: bool
    badge: int | None


@dataclass(frozen=True, slots=True)
class Section:
    """A headed group of entries."""

    title: str
    items: list[Entry]


@dataclass(slots=True)
class Navigation:
    """The sidebar of one application, with the badges it counted last."""

    _badges: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def sections(self, principal: Principal | None) -> list[Section]:
        """Return the sections that the principal may open something of, with the current page marked."""
        if principal is None:
            return []
        groups: dict[str, list[Entry]] = {}
        for plugin, item in sorted(_offered(principal), key=lambda pair: (pair[1].order, pair[1].title)):
            entry = self._entry(plugin, item)
            if entry is not None:
                groups.setdefault(item.section, []).append(entry)
        names = [*SECTIONS, *sorted(groups.keys() - {*SECTIONS, ACCOUNT})]
        return [Section(name, _marked(groups[name], _current(groups))) for name in names if name in groups]

    def account(self, principal: Principal | None) -> list[Entry]:
        """Return the pages about the reader."""
        items = [(plugin, item) for plugin, item in _offered(principal) if item.section == ACCOUNT] if principal else []
        entries = [self._entry(plugin, item) for plugin, item in sorted(items, key=lambda pair: pair[1].order)]
        return [entry for entry in entries if entry is not None]

    def badges(self, principal: Principal | None) -> tuple[dict[str, int], bool]:
        """Return the counts in the principal's sidebar by the endpoint of their page, and whether all were counted just now.

        They are what a poll brings up to date; one that was kept may be older than the change that the poll answers.
        """
        before = dict(self._badges)
        entries = [entry for section in self.sections(principal) for entry in section.items if entry.badge is not None]
        counted = all(self._badges[entry.endpoint] is not before.get(entry.endpoint) for entry in entries)
        return {entry.endpoint: entry.badge for entry in entries if entry.badge is not None}, counted

    def _entry(self, plugin: str, item: NavItem) -> Entry | None:
        try:
            url = url_for(item.endpoint)
        except BuildError:  # the page could not be added; the Plugins page says why
            return None
        return Entry(item.title, url, item.endpoint, item.icon, item.keys, active=False, badge=self._badge(plugin, item))

    def _badge(self, plugin: str, item: NavItem) -> int | None:
        if item.badge is None:
            return None
        now = clock.now()
        counted_at, number = self._badges.get(item.endpoint, (0, None))
        if now - counted_at < KEPT and not item.personal:
            return number
        try:
            number = runtime().registry.guard.call(plugin, f"badge {item.title}", _counted, item.badge)
        except PluginFailed:
            number = None
        self._badges[item.endpoint] = (now, number)
        return number


def _counted(badge: Callable[[], int | None]) -> int | None:
    """Ask a badge. Raises TypeError where it is no whole number: shown on every page, it would break them all."""
    number = badge()
    return None if number is None else operator.index(number)


def _current(groups: dict[str, list[Entry]]) -> str:
    """Return the address of the entry that the page lies under: the longest that its path starts with."""
    urls = [entry.url for entries in groups.values() for entry in entries if request.path.startswith(entry.url)]
    return max(urls, key=len, default="")


def _marked(entries: list[Entry], current: str) -> list[Entry]:
    return [replace(entry, active=entry.url == current) for entry in entries]


def _offered(principal: Principal) -> list[tuple[str, NavItem]]:
    registry = runtime().registry
    return [
        (plugin, item)
        for plugin, item in registry.all("navigation")
        if principal.may(registry.permission(item.permission)) and (plugin == "core" or is_enabled(plugin))
    ]


def current_navigation() -> Navigation:
    """Return the sidebar of the application that answers."""
    return cast("Navigation", application().extensions[EXTENSION])


def first_page(navigation: Navigation, principal: Principal) -> str | None:
    """Return the address of the first page that the principal may open."""
    return next((entry.url for section in navigation.sections(principal) for entry in section.items), None)


def page_of_owner(navigation: Navigation, principal: Principal, signal: type[Signal]) -> str | None:
    """Return the address of the first page of the plugin that stores a signal type; None where the principal may open none."""
    recorders = runtime().registry.all("recorders")
    owners = {plugin for plugin, recorder in recorders if recorder.owner and recorder.signal is signal}
    theirs = {item.endpoint for plugin, item in _offered(principal) if plugin in owners}
    entries = [entry for section in navigation.sections(principal) for entry in section.items]
    return next((entry.url for entry in entries if entry.endpoint in theirs), None)
