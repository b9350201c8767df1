"""Cards that plugins put on each other's pages: each runs through the guard, and a failing one is only itself a gap."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from markupsafe import Markup

from pilothouse.contract.pages import Panel
from pilothouse.identity.principal import current_principal
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime
from pilothouse.web.icons import icon


def panels(slot: str, subject_id: str = "") -> Markup:
    """Render the panels of a slot for a subject, in their order; those that the reader may not see are absent."""
    return Markup("").join(_rendered(plugin, panel, subject_id) for plugin, panel in _shown(slot))


def panel_answers(slot: str, subject_id: str = "", kind: type = object) -> list[Any]:
    """Return what the panels of a slot answer, where the page that has the slot wants data and no markup.

    Those that fail, or answer with something else than the `kind` that the page can use, are left out: the guard counts
    them, and the page goes without.
    """
    answers = []
    for plugin, panel in _shown(slot):
        with suppress(PluginFailed):
            answers.append(runtime().registry.guard.call(plugin, f"panel {panel.name}", _answer, panel, subject_id, kind))
    return [answer for answer in answers if answer is not None]


def _answer(panel: Panel, subject_id: str, kind: type) -> Any:
    answer = panel.render(subject_id)
    if answer is not None and not isinstance(answer, kind):
        raise TypeError(f"{panel.name} must answer with {kind.__name__}, not {answer!r:.80}")
    return answer


def _shown(slot: str) -> list[tuple[str, Panel]]:
    registry, principal = runtime().registry, current_principal()
    if principal is None:
        return []
    found = [
        (plugin, panel)
        for plugin, panel in registry.all("panels")
        if panel.slot == slot and principal.may(registry.permission(panel.permission)) and is_enabled(plugin)
    ]
    return sorted(found, key=lambda pair: (pair[1].order, pair[1].name))


def _rendered(plugin: str, panel: Panel, subject_id: str) -> Markup:
    try:
        shown: Markup = runtime().registry.guard.call(plugin, f"panel {panel.name}", _markup, panel, subject_id)
    except PluginFailed:
        return Markup(
            '<div class="callout t-warn" role="status">{}<div>Could not load {}.</div>'
            '<a class="btn small" href="">Retry</a></div>'
        ).format(icon("alert"), _title(panel))
    return shown


def _markup(panel: Panel, subject_id: str) -> Markup:
    shown = panel.render(subject_id)
    return Markup("") if shown is None else Markup("{}").format(shown)


def _title(panel: Panel) -> str:
    return panel.name.split(".")[-1].replace("_", " ")
