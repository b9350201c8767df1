"""What happened to executions: the plugin's only public module."""

from __future__ import annotations

import msgspec

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
    """An execution failed or timed out; `error` is what its own report said of why, such as `KeyError: total`, or empty."""

    execution_id: str
    workflow: str
    status: str
    error: str = ""

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


class UsageDelta(msgspec.Struct, frozen=True, kw_only=True):
    """What to add to the usage totals of one execution; money in nano-dollars, all of it may be negative."""

    execution_id: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    unpriced_records: int = 0


class UsageCorrected(Event, frozen=True, kw_only=True):
    """Usage that was recorded before has changed: it was priced anew, or turned out to be the sum of known parts.

    Published by whoever keeps usage, in batches of some hundred executions; executions adds it to its totals at once.
    """

    deltas: tuple[UsageDelta, ...]

    @classmethod
    def name(cls) -> str:
        """Return `executions.usage_corrected`."""
        return "executions.usage_corrected"
