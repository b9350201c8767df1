"""Events of keys in words."""

from __future__ import annotations

from pilothouse.sdk import Notice
from pilothouse_keys.events import Added, Expiring, Revoked, Rotated


def added(event: Added) -> Notice:
    """Tell of a new key."""
    return Notice(f"Key {event.key_name} was added", f"For {event.service}, by {event.actor}.", "info", "/keys/", "Keys")


def rotated(event: Rotated) -> Notice:
    """Tell of a rotation."""
    return Notice(f"Key {event.key_name} was rotated", f"By {event.actor}.", "info", "/keys/", "Keys")


def revoked(event: Revoked) -> Notice:
    """Tell of a key that is gone."""
    return Notice(f"Key {event.key_name} was revoked", f"By {event.actor}.", "warning", "/keys/", "Keys")


def expiring(event: Expiring) -> Notice:
    """Tell of a key that expires soon."""
    days = "1 day" if event.days == 1 else f"{event.days} days"
    return Notice(f"Key {event.key_name} expires in {days}", f"For {event.service}.", "warning", "/keys/", "Rotate it")
