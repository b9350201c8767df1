"""Who a plugin is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manifest:
    """Who a plugin is: its name (letters, digits, underscores), title, one sentence, the plugins that it requires and
    the versions of the SDK that it works with.
    """

    name: str
    title: str
    description: str
    requires: tuple[str, ...] = ()
    sdk: str = ">=1,<2"
