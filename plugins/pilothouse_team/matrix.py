"""Which role may do what, made from the permissions that the core and all plugins declare."""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse.sdk import Permission, runtime


@dataclass(frozen=True, slots=True)
class Group:
    """The permissions of one plugin under its title, the most open ones first."""

    title: str
    permissions: list[Permission]


def matrix() -> list[Group]:
    """Return every permission by plugin, in the order of the plugins; switched-off ones too: they may be on again."""
    groups = []
    for plugin in runtime().registry.loaded:
        found = sorted(plugin.contributions.get("permissions", ()), key=lambda one: (-len(one.roles), one.title))
        if found:
            groups.append(Group(plugin.manifest.title if plugin.manifest else plugin.name, found))
    return groups
