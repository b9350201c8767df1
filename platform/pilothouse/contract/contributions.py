"""What hooks return: frozen, named data and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sqlalchemy import Connection

from pilothouse.contract.events import Event
from pilothouse.signals import Signal

LONGEST_TASK_S = 3_540  # below the time after which the broker hands a task out again (work.celery_app)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Who a plugin is: its name (letters, digits, underscores), title, one sentence, the plugins that it requires and
    the versions of the SDK that it works with.
    """

    name: str
    title: str
    description: str
    requires: tuple[str, ...] = ()
    sdk: str = ">=1,<2"


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


@dataclass(frozen=True, slots=True)
class AdminView:
    """A page: its endpoint name (starts with the plugin's), a factory of the Flask-Admin view, the permission to see it.

    A factory, never an instance: a Flask-Admin view keeps the Admin that it was added to.
    """

    name: str
    factory: Callable[[], Any]
    permission: str


@dataclass(frozen=True, slots=True)
class NavItem:
    """An entry of the sidebar. `section` is Monitor, Insights, Workspace, Account (the reader's own menu) or a name of
    the plugin's own; `keys` is the letter that follows `g`; `badge` returns a count or None and must be cheap (it runs
    once a page, cached for 2 s; with `personal`, where each reader has a count of their own, it is not cached).
    """

    title: str
    endpoint: str
    permission: str
    section: str = "Workspace"
    order: int = 100
    icon: str = "plug"
    keys: str = ""
    badge: Callable[[], int | None] | None = None
    personal: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A card on somebody else's page. `slot` is the page's name for the place ("executions.detail"); `render` gets the
    subject's id and returns markup, or None where it has nothing to show.
    """

    name: str
    slot: str
    permission: str
    render: Callable[[str], Any]
    order: int = 100


@dataclass(frozen=True, slots=True)
class StepFigures:
    """What a step of an execution used: tokens, cost in nano-dollars (None while nothing is priced) and the model.

    Panels of the slot "executions.steps" return a mapping of step ids to these in place of markup; the page shows them on the
    step, summed up on the steps above.
    """

    tokens: int = 0
    cost_nano: int | None = None
    model: str = ""
    unpriced: int = 0

    @classmethod
    def together(cls, figures: Sequence[StepFigures]) -> StepFigures:
        """Return the sum; the model is named where there is only one."""
        priced = [one.cost_nano for one in figures if one.cost_nano is not None]
        models = {one.model for one in figures}
        return cls(
            sum(one.tokens for one in figures), sum(priced) if priced else None,
            models.pop() if len(models) == 1 else "", sum(one.unpriced for one in figures),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PaletteSource:
    """What the command palette finds: `search` gets what was typed (2 characters or more) and returns at most 8 hits of
    `{"title", "detail", "url"}`; it must use an index.
    """

    name: str
    title: str
    permission: str
    search: Callable[[str], Sequence[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Task:
    """Work for a Celery worker, `<plugin>.<verb>`. `run` gets the job's payload (ids and plain values) inside a unit of
    work: what it writes commits together with the job's end, so a killed worker leaves nothing half done.

    With `transaction=False` it runs outside of one (it calls the outside world) and opens its own units of work; it may
    then run twice, and must be idempotent. `limit_s` is the time after which it is ended.
    """

    name: str
    run: Callable[[Mapping[str, Any]], None]
    transaction: bool = True
    limit_s: int = 60


@dataclass(frozen=True, slots=True)
class BeatEntry:
    """Run a task every so many seconds; a tick is passed over while the last one is still waiting or running."""

    name: str
    task: str
    every_s: float


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a signal was not stored: the field, with every place in a list as `[]`, and what is wrong with it."""

    field: str
    message: str
    signal_id: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of one request's signals: who sent them, and how many were new, known before and refused.

    A request that was refused as a whole counts as one that was rejected; its refusal names no field. `turned_away` is the
    number of requests that were not even let in (401, 403, 429), which are told together; `source.token_id` is None where
    no token was known.
    """

    source: Source
    at: int
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    refusals: Sequence[Refusal] = ()
    turned_away: int = 0


@dataclass(frozen=True, slots=True)
class ArrivalSink:
    """Takes in what became of each request of signals.

    `take` gets what one transaction recorded, at its end and inside of it (in a savepoint of its own, on this connection):
    it may write its plugin's own tables, and must be cheap, since every report pays for it.
    """

    name: str
    take: Callable[[Connection, Sequence[Arrival]], None]


@dataclass(frozen=True, slots=True)
class Snippet:
    """How to connect a client to this server, as text to copy: `write` gets the server's address and a token.

    `hint` says what to install, `language` how the text is coloured and copied ("python", "shell").
    """

    name: str
    title: str
    write: Callable[[str, str], str]
    language: str = "shell"
    hint: str = ""
    order: int = 100


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told about an event.

    Notices of one category with an equal `fold_key` fold into one with a count while it is unread. `recipients` are the
    ids of those whom it concerns alone; empty for everyone who may see the category. `urgent` breaks quiet hours.
    """

    title: str
    message: str
    type: Literal["success", "error", "warning", "info"] = "info"
    action_url: str | None = None
    action_label: str | None = None
    fold_key: str | None = None
    recipients: tuple[str, ...] = ()
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class NotificationCategory:
    """An event that people may want to hear of; `compose` returns None where this one is not worth a notice.

    `group` is workflow, system, team, billing or one of the plugin's own. Members whose role has the `permission` are told.
    `for_programs` is for what is off by default and still goes to every webhook that takes the group.
    """

    name: str
    title: str
    group: str
    event: type[Event]
    compose: Callable[[Any], Notice | None]
    on_by_default: bool = True
    permission: str = "core.console.view"
    for_programs: bool = False


@dataclass(frozen=True, slots=True)
class LoginMethod:
    """Another way to sign in: a button on the login page that leads to the method's own endpoint.

    `offered` says whether the button is there, for a method that needs settings; always, where it is left out.
    """

    name: str
    title: str
    endpoint: str
    offered: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A check for /readyz and `doctor`: `check` returns None when all is well, else a sentence; `remedy` tells the way
    out. `critical` checks make /readyz answer 503.
    """

    name: str
    check: Callable[[], str | None]
    remedy: str
    critical: bool = False


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
