"""The base of domain events: facts in the past that other plugins may react to."""

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
