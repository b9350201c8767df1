"""What stores signals: batches of one type in one transaction, who fills them in, and the figures that come of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sqlalchemy import Connection

from pilothouse.contract.events import Event
from pilothouse.signals import Signal


class MeasureSink(Protocol):
    """Where a recorder adds to measures; see `measures.Deltas`."""

    def add(
        self,
        measure: str,
        at: int,
        dimensions: tuple[str | None, ...],
        *,
        count: int = 1,
        value: int | None = None,
        total: int | None = None,
    ) -> None:
        """Add `count` observations of `value` (whole, in the measure's smallest unit) at the moment `at` (ms); a
        negative count takes back what was added. `total` in place of `value` adds a ready sum, without percentiles.
        """

    def see(self, measure: str, at: int, dimensions: tuple[str | None, ...], thing: str) -> None:
        """Note that a thing (a user, a session) was seen at the moment `at` (ms), for measures of kind "distinct"."""


@dataclass(slots=True)
class Link:
    """What is known of an execution that signals name; filled in by the recorder that owns executions.

    `reported` is false while only children of it were heard of. `parents` asks for what is above steps, of any
    executions: of pairs of execution and step it returns the parent of each, and of every step on the way up, as far as
    it is known.
    """

    workflow_id: str | None = None
    workflow: str | None = None
    agent: str | None = None
    environment: str | None = None
    reported: bool = True
    parents: Callable[[Iterable[tuple[str, str]]], Mapping[tuple[str, str], str]] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Who sent a batch: the access token's id (None for Pilothouse itself) and the client's name.

    With `edit` it is no report but a change that somebody makes to what was reported: it replaces what stands there.
    """

    token_id: str | None = None
    client: str = ""
    edit: bool = False


@dataclass(slots=True)
class Batch:
    """All signals of one type in one transaction.

    `connection` is inside the transaction that commits everything or nothing. `links` maps execution ids to what is
    known of them, filled by the `prepare` of executions' recorder, `workflows` names of workflows to their ids and
    `workflow_names` ids to names. `sources[i]` sent `signals[i]`.
    """

    signals: Sequence[Any]
    sources: Sequence[Source]
    connection: Connection
    measures: MeasureSink
    publish: Callable[[Event], None]
    links: dict[str, Link]
    workflows: dict[str, str]
    received_at: int
    workflow_names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch: indexes of signals that changed nothing, and of those that were refused, with the reason."""

    duplicates: frozenset[int] = frozenset()
    rejected: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorder:
    """Stores one signal type.

    The recorder with `owner=True` decides what is new: it gets every signal of the type and says which were
    duplicates; the others get only the new ones, so that they can count without a table of ids. `prepare` of every
    recorder runs before any `record`: there parents are made that others point at. Write through the batch alone, so
    that a rollback undoes it all: where a plugin fails, the transaction is rolled back and recorded a second time.
    """

    signal: type[Signal]
    record: Callable[[Batch], Recorded | None]
    owner: bool = False
    prepare: Callable[[Batch], None] | None = None


@dataclass(frozen=True, slots=True)
class Enricher:
    """Fills in fields of signals before they are recorded; returns as many signals, in the same order."""

    signal: type[Signal]
    enrich: Callable[[list[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure with a trend: its name, unit and the names of its dimensions.

    `kind` is "count" (how many), "sum" (of values, with a unit), "distribution" (percentiles too) or "distinct" (how many
    different things).
    `title` is shown on pages. Values are kept as whole numbers; `scale` of them make one unit (1,000 for milliseconds kept
    as microseconds, 1,000,000,000 for dollars).

    Reading the whole, one dimension, or all of them costs a row a point. Where pages also break it down by several at once
    (`("workflow", "status")`), name those in `cuts`; one that a later version adds knows nothing of what was counted before.
    Measures whose names share what stands before the first dot share their rows. A dimension may have any text as its value,
    but beyond 5,000 series a day the rest counts as "(other)".
    """

    name: str
    title: str
    unit: str
    kind: Literal["count", "sum", "distribution", "distinct"]
    dimensions: tuple[str, ...] = ()
    scale: int = 1
    cuts: tuple[tuple[str, ...], ...] = ()
