"""The categories that all plugins declare, as this plugin looks at them."""

from __future__ import annotations

from typing import Any

from pilothouse.sdk import Event, NotificationCategory, PilothouseError, Role, runtime

GROUPS = {"workflow": "Workflows", "system": "System", "team": "Team", "billing": "Billing"}


def every() -> list[NotificationCategory]:
    """Return all categories, those of a group together: the four known groups first, then plugins' own by name."""
    found = [category for _, category in _declared()]
    order = list(GROUPS)
    return sorted(found, key=lambda c: (order.index(c.group) if c.group in GROUPS else len(order), c.group))


def _declared() -> list[tuple[str, NotificationCategory]]:
    declared: list[tuple[str, NotificationCategory]] = runtime().registry.all("notification_categories")
    return declared


def of_event(event: type[Event]) -> list[tuple[str, NotificationCategory]]:
    """Return the categories of an event type, which may have several, with the names of their plugins."""
    return [(plugin, category) for plugin, category in _declared() if category.event is event]


def find(name: str) -> NotificationCategory | None:
    """Return a category by its full name; None where its plugin is gone."""
    return next((category for category in every() if category.name == name), None)


def groups() -> list[str]:
    """Return the names of all groups: the four known ones always, then plugins' own."""
    return [*GROUPS, *dict.fromkeys(category.group for category in every() if category.group not in GROUPS)]


def group_title(group: str) -> str:
    """Return a group's name for people."""
    return GROUPS.get(group, group.replace("_", " ").capitalize())


def roles_of(category: NotificationCategory) -> frozenset[Role]:
    """Return the roles that may see what the category tells of; none where nobody declares its permission."""
    try:
        permission: Any = runtime().registry.permission(category.permission)
    except PilothouseError:
        return frozenset()
    return frozenset(permission.roles)
