"""Domain events: the base of facts in the past, and what follows them, a reaction to one or a sink for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pilothouse import clock


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that happened; subclasses set `name` ("errors.group_opened") and add ids and plain values only.

    `event_id` makes a reaction idempotent: an event may be delivered more than once, always with the same id.
    """

    event_id: str = msgspec.field(default_factory=clock.new_id)
    occurred_at: int = msgspec.field(default_factory=clock.now)

    @classmethod
    def name(cls) -> str:
        """Return the event's name, `<plugin>.<fact>`, unique over all plugins."""
        raise TypeError(f"{cls.__qualname__} must say its name")

    def mark(self) -> str | None:
        """Return what charts say at the moment of this event ("Price of gpt-5 changed"); None where it is nothing to them.

        An event type that overrides it is marked on the analytics page.
        """
        return None


@dataclass(frozen=True, slots=True)
class Reaction:
    """What happens after an event. `now` runs in the event's own transaction and may write its plugin's own tables only;
    `later` runs in a worker, at least once, idempotent by `event.event_id`.
    """

    name: str
    event: type[Event]
    handle: Callable[[Any], None]
    when: Literal["now", "later"] = "later"


@dataclass(frozen=True, slots=True)
class EventSink:
    """Takes in all events of some types, whoever publishes them, without naming them beforehand.

    `wants` says whether a type is taken. `take` gets what one transaction published of them, at its end and inside of it
    (in a savepoint of its own): it may write its plugin's own tables and make jobs, and must be cheap.
    """

    name: str
    wants: Callable[[type[Event]], bool]
    take: Callable[[Sequence[Event]], None]
