"""What a plugin adds, in the words of the people who decide whether it stays on."""

from __future__ import annotations

from collections.abc import Mapping

from pilothouse.web import formats

WORDS = {
    "admin_views": ("page", "pages"),
    "panels": ("panel on other pages", "panels on other pages"),
    "api_blueprints": ("part of the API", "parts of the API"),
    "login_methods": ("way to sign in", "ways to sign in"),
    "cli": ("command", "commands"),
    "models": ("table", "tables"),
    "signals": ("kind of signal", "kinds of signal"),
    "recorders": ("recorder of signals", "recorders of signals"),
    "enrichers": ("enricher of signals", "enrichers of signals"),
    "measures": ("measure", "measures"),
    "tasks": ("task", "tasks"),
    "beat_schedule": ("schedule", "schedules"),
    "events": ("event", "events"),
    "reactions": ("reaction", "reactions"),
    "notification_categories": ("kind of notice", "kinds of notice"),
    "permissions": ("permission", "permissions"),
    "settings": ("setting", "settings"),
    "health_checks": ("health check", "health checks"),
    "snippets": ("snippet", "snippets"),
}  # what stands in no line here (menu entries, migrations, sinks, sources of the palette) comes along with what does


def added(counts: Mapping[str, int]) -> str:
    """Write how much a plugin contributes, such as `2 pages, 1 task`: `counts` is by kind of contribution."""
    told = [(counts[kind], words) for kind, words in WORDS.items() if counts.get(kind)]
    return ", ".join(f"{formats.count(number)} {words[number != 1]}" for number, words in told)
