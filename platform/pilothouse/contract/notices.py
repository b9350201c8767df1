"""What people are told: events put into words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pilothouse.contract.events import Event
from pilothouse.contract.fitting import misfits


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told about an event. Raises TypeError for fields of another type, which would stand in the way of others.

    Notices of one category with an equal `fold_key` fold into one with a count while it is unread. `recipients` are the
    ids of those whom it concerns alone; empty for everyone who may see the category. `urgent` breaks quiet hours.
    """

    title: str
    message: str
    type: Literal["success", "error", "warning", "info"] = "info"
    action_url: str | None = None
    action_label: str | None = None
    fold_key: str | None = None
    recipients: tuple[str, ...] = ()
    urgent: bool = False

    def __post_init__(self) -> None:
        """Check the fields while the plugin that fills them is still at work."""
        wrong = misfits(self)
        if wrong:
            raise TypeError("; ".join(wrong))


@dataclass(frozen=True, slots=True)
class NotificationCategory:
    """An event that people may want to hear of; `compose` returns None where this one is not worth a notice.

    `group` is workflow, system, team, billing or one of the plugin's own. Members whose role has the `permission` are told.
    `for_programs` is for what is off by default and still goes to every webhook that takes the group.
    """

    name: str
    title: str
    group: str
    event: type[Event]
    compose: Callable[[Any], Notice | None]
    on_by_default: bool = True
    permission: str = "core.console.view"
    for_programs: bool = False
