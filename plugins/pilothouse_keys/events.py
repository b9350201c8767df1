"""What happened to keys: the plugin's only public module. No event carries a secret."""

from __future__ import annotations

from pilothouse.sdk import Event


class KeyEvent(Event, frozen=True, kw_only=True):
    """Something happened to one provider key."""

    key_id: str
    key_name: str
    service: str
    actor: str = ""


class Added(KeyEvent, frozen=True, kw_only=True):
    """A key was added."""

    @classmethod
    def name(cls) -> str:
        """Return `keys.added`."""
        return "keys.added"


class Rotated(KeyEvent, frozen=True, kw_only=True):
    """A key got a new secret."""

    @classmethod
    def name(cls) -> str:
        """Return `keys.rotated`."""
        return "keys.rotated"


class Revoked(KeyEvent, frozen=True, kw_only=True):
    """A key was revoked or deleted."""

    @classmethod
    def name(cls) -> str:
        """Return `keys.revoked`."""
        return "keys.revoked"


class Expiring(KeyEvent, frozen=True, kw_only=True):
    """A key expires soon; `days` are left."""

    days: int

    @classmethod
    def name(cls) -> str:
        """Return `keys.expiring`."""
        return "keys.expiring"
