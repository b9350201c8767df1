"""What happened to executions: the plugin's only public module."""

from __future__ import annotations

from pilothouse.sdk import Event


class Finished(Event, frozen=True, kw_only=True):
    """An execution reached a final status for the first time."""

    execution_id: str
    workflow: str
    status: str

    @classmethod
    def name(cls) -> str:
        """Return `executions.finished`."""
        return "executions.finished"


class Failed(Event, frozen=True, kw_only=True):
    """An execution failed or timed out."""

    execution_id: str
    workflow: str
    status: str

    @classmethod
    def name(cls) -> str:
        """Return `executions.failed`."""
        return "executions.failed"


class Lost(Event, frozen=True, kw_only=True):
    """A running execution fell silent and was marked lost."""

    execution_id: str
    workflow: str

    @classmethod
    def name(cls) -> str:
        """Return `executions.lost`."""
        return "executions.lost"


class CommandGiven(Event, frozen=True, kw_only=True):
    """A person asked to cancel or rerun an execution."""

    execution_id: str
    workflow: str
    command: str
    reason: str
    actor: str

    @classmethod
    def name(cls) -> str:
        """Return `executions.command_given`."""
        return "executions.command_given"
