"""What runtime hooks are asked and what they answer: commands, secrets, prices, money set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Command:
    """What a person wants of a running program; it reaches the client in the answer to its next report."""

    execution_id: str
    command: Literal["cancel", "rerun"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret out of the vault for one use; never logged, never stored.

    `attempt` is how `passed_over` names it where a key has several secrets; its key's id if left out.
    """

    key_id: str
    secret: str
    base_url: str | None = None
    attempt: str = ""

    @property
    def name(self) -> str:
        """What is passed over once the service has refused this secret."""
        return self.attempt or self.key_id


@dataclass(frozen=True, slots=True)
class Price:
    """What a usage costs, in whole nano-dollars, and the id of the price row that says so."""

    cost_nano: int
    price_id: str


@dataclass(frozen=True, slots=True)
class Spend:
    """A call about to be made, for budgets: estimated cost in nano-dollars and what it belongs to."""

    estimate_nano: int
    workflow: str | None = None
    agent: str | None = None
    user: str | None = None
    model: str | None = None
    key_id: str | None = None


@runtime_checkable
class Reservation(Protocol):
    """Money set aside for a call; settled with the true cost or released.

    Record the call's usage with the reservation's `id` as its own id: it then takes the reservation's place in the same
    transaction, and no cent is counted twice or not at all. Settle or release outside of any unit of work.
    """

    @property
    def id(self) -> str:
        """The id under which the call's usage is to be recorded."""

    def settle(self, cost_nano: int) -> None:
        """Replace the estimate by what the call cost."""

    def release(self) -> None:
        """Give the money back: the call was not made."""
