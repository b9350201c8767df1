"""A browser's name for people: what a `User-Agent` header most likely means."""

from __future__ import annotations

BROWSERS = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("CriOS", "Chrome"),
    ("FxiOS", "Firefox"), ("Safari", "Safari"), ("curl", "curl"), ("python", "Python"),
)  # in this order: Edge and Opera call themselves Chrome as well, Chrome calls itself Safari
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # iPhones name Mac OS X and Android names Linux as well


def describe_device(user_agent: str) -> str:
    """Return words such as `Firefox on Linux`; the header's start where nothing in it is known."""
    browser = _first(user_agent, BROWSERS)
    system = _first(user_agent, SYSTEMS)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent[:60] or "Unknown"


def _first(text: str, marks: tuple[tuple[str, str], ...]) -> str:
    return next((name for mark, name in marks if mark in text), "")
