"""What the command palette finds beyond the page: every plugin's sources, asked through the guard."""

from __future__ import annotations

from itertools import islice
from typing import Any

from pilothouse.access import Principal
from pilothouse.contract.pages import PaletteSource
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime

LEAST = 2  # characters: below that everything matches
LONGEST = 200
HITS = 8


def find(query: str, principal: Principal) -> list[dict[str, Any]]:
    """Return groups of hits, `{"title", "hits": [{"title", "detail", "url"}]}`, of what the principal may see."""
    query = query.strip()[:LONGEST]
    if len(query) < LEAST:
        return []
    registry, groups = runtime().registry, []
    for plugin, source in registry.all("palette"):
        if not principal.may(registry.permission(source.permission)) or not (plugin == "core" or is_enabled(plugin)):
            continue
        try:
            hits = registry.guard.call(plugin, f"palette {source.name}", _hits, source, query)
        except PluginFailed:
            continue
        if hits:
            groups.append({"title": source.title, "hits": hits})
    return groups


def _hits(source: PaletteSource, query: str) -> list[dict[str, str]]:
    """Ask a source. Raises KeyError, TypeError or ValueError for hits that cannot be shown."""
    found = islice(source.search(query), HITS)
    return [{part: str(hit[part]) for part in ("title", "detail", "url")} for hit in found]
