"""What background work tells the others: the core's only events of its own."""

from __future__ import annotations

from pilothouse.contract.events import Event


class DeadLetter(Event, frozen=True, kw_only=True):
    """A job gave up: the id of the job, its task, how often it started and the reason, in words for people."""

    job_id: str
    task: str
    starts: int
    error: str

    @classmethod
    def name(cls) -> str:
        """Return `core.dead_letter`."""
        return "core.dead_letter"


EVENTS = (DeadLetter,)
