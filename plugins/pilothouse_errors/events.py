"""What happened to groups of errors: the plugin's only public module."""

from __future__ import annotations

from pilothouse.sdk import Event


class GroupOpened(Event, frozen=True, kw_only=True):
    """A fault was seen for the first time."""

    group_id: str
    error_id: str
    title: str
    error_type: str
    severity: str
    workflow: str

    @classmethod
    def name(cls) -> str:
        """Return `errors.group_opened`."""
        return "errors.group_opened"


class Regressed(Event, frozen=True, kw_only=True):
    """A fault that was resolved, or ignored for a while, happened again, and its group is open again."""

    group_id: str
    error_id: str
    title: str
    error_type: str
    severity: str
    workflow: str

    @classmethod
    def name(cls) -> str:
        """Return `errors.regressed`."""
        return "errors.regressed"


class GroupResolved(Event, frozen=True, kw_only=True):
    """Somebody resolved a group."""

    group_id: str
    title: str
    actor: str
    resolution_notes: str

    @classmethod
    def name(cls) -> str:
        """Return `errors.group_resolved`."""
        return "errors.group_resolved"
