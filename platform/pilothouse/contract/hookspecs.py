"""The hooks: everything by which a plugin adds to Pilothouse. One file, the whole contract.

**Registration hooks** are called once at the start of each process, `pilothouse_manifest` of all plugins first, then plugin by
plugin: each after those that it requires, ours before others', else by name. They take no arguments and do nothing but
return named frozen data; the database is not to be asked yet. One that raises, returns something of another type or with a
field that holds something else than it says, or takes a name that another plugin has, takes its own plugin out, and those
that require it; the reason stands on the Plugins page and in `pilothouse doctor`.

**Runtime hooks** (the last seven) are asked at each use, plugin by plugin in the same order; `@hookimpl(tryfirst=True)` comes
before all others, `trylast=True` after them. The first answer that is not None counts. A PilothouseError that they raise is an
answer, too. Who raises anything else, or answers what the hook does not promise, is passed over and counted.

Code that a contribution brings runs contained: what it raises is counted, shown on the Plugins page and told to admins
after five failures in a row. "Rests" says that it is then left out for 30 seconds. Of a plugin that somebody switched off
pages and routes answer 404, signals are refused and tasks wait; its cards, badges, reactions and checks are not asked.

Implement a hook with `from pilothouse.sdk import hookimpl` and the decorator; a function with a hook's name but without the
decorator stops the plugin with that reason. The examples are lines of one plugin, weather, that a test runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pluggy

from pilothouse.access import Permission, Principal
from pilothouse.contract.answers import Command, Credential, Price, Reservation, Spend
from pilothouse.contract.arrivals import ArrivalSink
from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.notices import NotificationCategory
from pilothouse.contract.pages import AdminView, LoginMethod, NavItem, PaletteSource, Panel, Snippet
from pilothouse.contract.recording import Enricher, Measure, Recorder
from pilothouse.contract.work import BeatEntry, HealthCheck, Task
from pilothouse.db import Model
from pilothouse.settings import Setting
from pilothouse.signals import Signal, TokenUsage

if TYPE_CHECKING:
    from flask import Blueprint, Request

PROJECT = "pilothouse"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)  # marks the functions of a plugin that implement hooks


# --- who it is ---


@hookspec
def pilothouse_manifest() -> Manifest:  # type: ignore[empty-body]
    """Say who the plugin is. Required; called before any other hook of any plugin.

    The name must be the entry point's: 1 to 40 small letters, digits and underscores, a letter first. What `requires` names
    is set up before; where one of them is not there or failed, this plugin fails. So it does where `sdk` rules out this
    version.

    Example: `return Manifest("weather", "Weather", "Shows the weather beside each run.", requires=("executions",))`
    """


@hookspec
def pilothouse_settings() -> Iterable[Setting]:  # type: ignore[empty-body]
    """Return environment variables that the plugin reads, named `PILOTHOUSE_<...>`; read them by `runtime().settings[name]`.

    They are read and checked together with the core's before the application is built: a wrong value stops the start, and
    all wrong ones are named at once. One that is unset or empty has its default.

    Example: `return [Setting("PILOTHOUSE_WEATHER_STATION", text, "EDDB", "The station to ask")]`
    """


@hookspec
def pilothouse_cli() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Return commands, each run as `pilothouse <its name>` inside an application context.

    A name that the core has stays the core's. What a command raises is one plain line on stderr and exit code 1.

    Example: `return [weather_command]`
    """


@hookspec
def pilothouse_health_checks() -> Iterable[HealthCheck]:  # type: ignore[empty-body]
    """Return checks for /readyz (the critical ones), the system page and `doctor`.

    All run side by side at each request, each in a thread and application context of its own. One that takes longer than 2
    seconds or raises counts as failed; one that hangs is not started a second time.

    Example: `return [HealthCheck("weather.station", check_station, "Set PILOTHOUSE_WEATHER_STATION")]`
    """


# --- its data ---


@hookspec
def pilothouse_models() -> Iterable[type[Model]]:  # type: ignore[empty-body]
    """Return the plugin's tables. Their names start with the plugin's where they could collide.

    `pilothouse db check` and `db revision` compare them with the database. Foreign keys lead to the core's tables, to own
    ones and to those of required plugins only. A model that cannot be mapped (a relationship to a class that is not there)
    takes its plugin out.

    Example: `return [Observation]`
    """


@hookspec
def pilothouse_migrations() -> Path:  # type: ignore[empty-body]
    """Return the folder of the plugin's Alembic revisions; its version table is `alembic_version_<name>`.

    `pilothouse up` and `db upgrade` run them after those of required plugins. One that fails is undone, and takes its
    plugin and those that require it out; the others go on.

    Example: `return Path(__file__).parent / "migrations"`
    """


@hookspec
def pilothouse_signals() -> Iterable[type[Signal]]:  # type: ignore[empty-body]
    """Return signal types beyond the core's five; each has a `tag`, its `type` on the wire.

    Every door takes them from then on. They are recorded after the core's, in the order of plugins.

    Example: `return [WeatherReport]`
    """


@hookspec
def pilothouse_recorders() -> Iterable[Recorder]:  # type: ignore[empty-body]
    """Return what stores signals: once a transaction each gets all signals of its type that came together.

    The types come in a fixed order: executions, steps, errors, usage, events, then plugins' own. Every `prepare` runs
    before the first `record`, the owner before the others, who get only what is new. A type has at most one owner, and
    without one it is refused. Where an owner raises, its group is tried in halves, and what still fails is refused with
    that reason; where another one raises, what it wrote is undone and the signal stays recorded. An outage of the database
    is the request's (503).

    Example: `return [Recorder(WeatherReport, recorder.record, owner=True)]`
    """


@hookspec
def pilothouse_enrichers() -> Iterable[Enricher]:  # type: ignore[empty-body]
    """Return functions that fill in fields of signals before anybody records them.

    Each gets the signals of one type that came together, as the one before it left them. Where it raises, or does not
    return the same signals in the same order, they go on as they were.

    Example: `return [Enricher(TokenUsage, prices.fill_in)]`
    """


@hookspec
def pilothouse_measures() -> Iterable[Measure]:  # type: ignore[empty-body]
    """Return figures with a trend, to which a recorder adds by `batch.measures`.

    Each gets trends, comparison with the period before, CSV and budgets without further code. Whole numbers only: `scale`
    of them make one unit.

    Example: `return [Measure("weather.reports", "Weather reports", "1", "count", ("station",))]`
    """


@hookspec
def pilothouse_arrival_sinks() -> Iterable[ArrivalSink]:  # type: ignore[empty-body]
    """Return what takes note of who sends signals, how many, and what was refused and why.

    Called at the end of each transaction that recorded signals, of each request that was refused as a whole, and within a
    second for those who were not let in; in a savepoint of its own: where it raises, only its own writes are undone.

    Example: `return [ArrivalSink("weather.stations", stations.note)]`
    """


# --- its pages and endpoints ---


@hookspec
def pilothouse_permissions() -> Iterable[Permission]:  # type: ignore[empty-body]
    """Return permissions, `<plugin>.<thing>.<verb>`, each with its roles and the scope that tokens need.

    Pages, routes, panels, entries and categories name one of the plugin's own, of the core's or of a required plugin's.

    Example: `return [Permission("weather.reports.view", "See the weather", roles_from("viewer"), "read")]`
    """


@hookspec
def pilothouse_admin_views() -> Iterable[AdminView]:  # type: ignore[empty-body]
    """Return the pages: factories of `ConsoleView` or `ConsoleModelView` objects, each with its permission.

    Each factory is called once at start, after all plugins are known; one that raises takes its plugin out. A handler that
    raises shows an error page of its own, with a request id; the rest of the console works.

    Example: `return [AdminView("weather", WeatherView, "weather.reports.view")]`
    """


@hookspec
def pilothouse_navigation() -> Iterable[NavItem]:  # type: ignore[empty-body]
    """Return entries of the sidebar; those that a role may not open are absent for it.

    An entry whose page could not be made is absent. A badge that raises, or returns no whole number, is not shown and
    rests.

    Example: `return [NavItem("Weather", "weather.index", "weather.reports.view", section="Insights", keys="w")]`
    """


@hookspec
def pilothouse_panels() -> Iterable[Panel]:  # type: ignore[empty-body]
    """Return cards for other plugins' pages; the page passes the id of what it shows.

    Slots are "home", "executions.detail", "errors.group" and "team.account", where text is escaped and `Markup` is not; and
    "executions.steps" (see `StepFigures`), "errors.wasted" (nano-dollars) and "welcome" (`FirstStep`), which take
    data. Cards of a slot stand by their `order`. One that raises says "Could not load" in its own place, and rests.

    Example: `return [Panel("weather.card", "executions.detail", "weather.reports.view", panels.weather_of)]`
    """


@hookspec
def pilothouse_palette() -> Iterable[PaletteSource]:  # type: ignore[empty-body]
    """Return what the command palette searches, beside the pages and actions that it knows by itself.

    Asked while somebody types, from 2 characters on, for readers who have the permission. One that raises, or whose hits
    lack a title, a detail or a url, is passed over and rests.

    Example: `return [PaletteSource("weather", "Stations", "weather.reports.view", queries.find_stations)]`
    """


@hookspec
def pilothouse_snippets() -> Iterable[Snippet]:  # type: ignore[empty-body]
    """Return how clients are connected, as text to copy, shown on the pages of first steps and of sources.

    `write` is called with this server's address and a token each time the page is shown; one that raises is absent and
    rests.

    Example: `return [Snippet("weather.vane", "Weather vane", lambda url, token: f"vane --to {url} --key {token}")]`
    """


@hookspec
def pilothouse_login_methods() -> Iterable[LoginMethod]:  # type: ignore[empty-body]
    """Return further ways to sign in, shown as buttons on the login page.

    Their endpoints end with `admit`, `begin_session` and `enter`. One that leads nowhere, or whose `offered` raises, is
    absent.

    Example: `return [LoginMethod("weather", "Barometer", "weather_api.start")]`
    """


@hookspec
def pilothouse_api_blueprints() -> Iterable[Blueprint]:  # type: ignore[empty-body]
    """Return `ApiBlueprint`s, mounted below /api; each of their routes states its permission. `title` heads them in the docs.

    Mounted once at start. One that cannot be mounted, has a route in the place of another's or hooks into the requests of
    others (`before_app_request` and its like), takes its plugin out. A route without a permission stops the start of all:
    the application never starts open. What a route raises is a problem answer.

    Example: `return [api.blueprint()]`
    """


# --- its work ---


@hookspec
def pilothouse_tasks() -> Iterable[Task]:  # type: ignore[empty-body]
    """Return work for Celery workers, named `<plugin>.<verb>`; ids in, thin over the service.

    One that raises starts again after 2 and 10 seconds, one whose worker died within 25; after the third start it is a dead
    letter, listed with its reason and replayable. An outage of the database does not count. `enqueue(name, payload)` starts
    a task once the open unit of work has committed.

    Example: `return [Task("weather.fetch", tasks.fetch, transaction=False)]`
    """


@hookspec
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:  # type: ignore[empty-body]
    """Return own tasks that run again and again, with an empty payload.

    However many schedulers there are, a tick comes once. It is passed over while the last one waits or runs.

    Example: `return [BeatEntry("weather.hourly", "weather.fetch", every_s=3600)]`
    """


@hookspec
def pilothouse_events() -> Iterable[type[Event]]:  # type: ignore[empty-body]
    """Return the events that this plugin publishes; they live in its `events` module, its only public one.

    `publish(event)` inside a unit of work tells reactions and sinks; a rollback takes it back.

    Example: `return [StormSeen]`
    """


@hookspec
def pilothouse_reactions() -> Iterable[Reaction]:  # type: ignore[empty-body]
    """Return reactions to events of one's own, of the core or of required plugins.

    Those of `when="now"` run inside `publish`, in a savepoint in the order of plugins: where one raises, what it wrote is
    undone, the publisher goes on, and it rests. Those of `when="later"` are jobs: they fail as tasks do.

    Example: `return [Reaction("weather.note_failure", executions.events.Failed, reactions.note_failure)]`
    """


@hookspec
def pilothouse_event_sinks() -> Iterable[EventSink]:  # type: ignore[empty-body]
    """Return what takes in events by their kind, not one by one: for plugins that serve all others, as notifications does.

    `wants` is asked once for each type. `take` is called at the end of each transaction in a savepoint: where it raises,
    what it wrote is undone, the transaction goes on, and the sink rests.

    Example: `return [EventSink("weather.diary", lambda event: event.name().startswith("weather."), diary.write)]`
    """


@hookspec
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:  # type: ignore[empty-body]
    """Return events that people may want to hear of, with how to put them into words.

    `compose` runs at the end of the event's own transaction and may read, not write. Where it raises, or returns something
    else than a Notice or None, this event is not told of in this category, and it rests. Without the plugin notifications
    nobody asks.

    Example: `return [NotificationCategory("weather.storm", "Storms", "weather", StormSeen, notices.storm)]`
    """


# --- runtime hooks ---


@hookspec(firstresult=True)
def pilothouse_authenticate(request: Request) -> Principal | None:
    """Say who is calling, for ways of signing in that the core does not know; None for a stranger.

    Asked at each request without an `Authorization: Bearer` whose session cookie, if there is one, the core does not know.

    Example: `return principal_of(request.headers.get("X-Weather-Pass"))`
    """


@hookspec(firstresult=True)
def pilothouse_join(user_id: str) -> bool | None:
    """Let somebody in who was invited and whose address a login method has proved, in the open unit of work of `admit`.

    True where they are a member now, False where their invitation is over; None for an invitation of somebody else's.

    Example: `return invites.accept_for(user_id)`
    """


@hookspec(firstresult=True)
def pilothouse_credential(
    service: str, label: str | None, principal: Principal, passed_over: frozenset[str]
) -> Credential | None:
    """Return the secret for a service ("openai"), by label where one is asked for, that this principal may use.

    Asked by the gateway before a call, and again after a refusal: `passed_over` are the names of credentials that the
    service has just refused, and the next one is wanted. None where there is no further one.

    Example: `return vault.open_newest(service, label, passed_over)`
    """


@hookspec(firstresult=True)
def pilothouse_price(usage: TokenUsage) -> Price | None:
    """Return what a usage costs in whole nano-dollars; None where the model is not known.

    Asked by the gateway, before a call with a guess of its usage and after it with what was used.

    Example: `return Price(12_000, "price-1") if usage.model == "station-model" else None`
    """


@hookspec(firstresult=True)
def pilothouse_reserve(spend: Spend) -> Reservation | None:
    """Set money aside for a call, or raise BudgetUsedUp where a hard budget is spent; None where no budget applies.

    Asked by the gateway before each call; it settles or releases what it gets, whatever becomes of the call.

    Example: `return budgets.reserve(spend)`
    """


@hookspec(firstresult=True)
def pilothouse_commands(token_id: str) -> Iterable[Command] | None:
    """Return what people want of the executions that this token reported.

    Asked after each report that was stored; what is returned goes out with its answer, so whoever returns a command decides
    how often it is repeated.

    Example: `return [Command("run-1", "cancel")]`
    """


@hookspec(firstresult=True)
def pilothouse_records(kind: str, ids: Sequence[str]) -> Mapping[str, Any] | None:
    """Return records of yours by id, as your own API answers them, for another plugin's answer; None for a foreign kind.

    Ids that are not there are left out. An execution's own answer asks for the kind "errors".

    Example: `return api.records(ids) if kind == "weather" else None`
    """
