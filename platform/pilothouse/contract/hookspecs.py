"""The hooks: everything by which a plugin adds to Pilothouse. One file, the whole contract.

Registration hooks are called once at start, one plugin after the other in the order of `requires`. They take no
arguments and do nothing but return named frozen data; names are unique over all plugins. A hook that raises takes its
own plugin out, never the others. Runtime hooks (the last seven) are asked at each use; the first answer that is not
None counts.

Implement a hook with `from pilothouse.sdk import hookimpl` and the decorator; a function with a hook's name but without the
decorator stops the plugin with that reason.
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
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def pilothouse_manifest() -> Manifest:  # type: ignore[empty-body]
    """Say who the plugin is. Required; called first, before any other hook of any plugin.

    Example: `return Manifest("weather", "Weather", "Shows the weather beside each run.", requires=("executions",))`
    """


@hookspec
def pilothouse_settings() -> Iterable[Setting]:  # type: ignore[empty-body]
    """Return environment variables that the plugin reads; named `PILOTHOUSE_<...>`, read and checked with the core's.

    Example: `return [Setting("PILOTHOUSE_WEATHER_STATION", text, "EDDB", "The station to ask")]`
    """


@hookspec
def pilothouse_models() -> Iterable[type[Model]]:  # type: ignore[empty-body]
    """Return the plugin's tables. Their names start with the plugin's where they could collide.

    Example: `return [Observation]`
    """


@hookspec
def pilothouse_migrations() -> Path:  # type: ignore[empty-body]
    """Return the folder of the plugin's Alembic revisions; its version table is `alembic_version_<name>`.

    Example: `return Path(__file__).parent / "migrations"`
    """


@hookspec
def pilothouse_signals() -> Iterable[type[Signal]]:  # type: ignore[empty-body]
    """Return signal types beyond the core's five; each has a `tag`, its `type` on the wire.

    Example: `return [WeatherReport]`
    """


@hookspec
def pilothouse_recorders() -> Iterable[Recorder]:  # type: ignore[empty-body]
    """Return what stores signals. A type without an owner among all recorders is rejected at ingest with that reason.

    Example: `return [Recorder(WeatherReport, recorder.record, owner=True)]`
    """


@hookspec
def pilothouse_measures() -> Iterable[Measure]:  # type: ignore[empty-body]
    """Return figures with a trend; each gets trends, comparison, CSV and budgets without further code.

    Example: `return [Measure("weather.reports", "Weather reports", "1", "count", ("station",))]`
    """


@hookspec
def pilothouse_permissions() -> Iterable[Permission]:  # type: ignore[empty-body]
    """Return permissions, `<plugin>.<thing>.<verb>`, each with its roles and the scope that tokens need.

    Example: `return [Permission("weather.reports.view", "See the weather", roles_from("viewer"), "read")]`
    """


@hookspec
def pilothouse_admin_views() -> Iterable[AdminView]:  # type: ignore[empty-body]
    """Return the pages: factories of `ConsoleView` or `ConsoleModelView` objects, each with its permission.

    Example: `return [AdminView("weather", WeatherView, "weather.reports.view")]`
    """


@hookspec
def pilothouse_navigation() -> Iterable[NavItem]:  # type: ignore[empty-body]
    """Return entries of the sidebar; those that a role may not open are absent for it.

    Example: `return [NavItem("Weather", "weather.index", "weather.reports.view", section="Insights", keys="w")]`
    """


@hookspec
def pilothouse_panels() -> Iterable[Panel]:  # type: ignore[empty-body]
    """Return cards for other plugins' pages; the page passes the id of what it shows.

    Example: `return [Panel("weather.card", "executions.detail", "weather.reports.view", panels.weather_of)]`
    """


@hookspec
def pilothouse_palette() -> Iterable[PaletteSource]:  # type: ignore[empty-body]
    """Return what the command palette searches, beside the pages and actions that it knows by itself.

    Example: `return [PaletteSource("weather", "Stations", "weather.reports.view", queries.find_stations)]`
    """


@hookspec
def pilothouse_api_blueprints() -> Iterable[Blueprint]:  # type: ignore[empty-body]
    """Return `ApiBlueprint`s, mounted below /api; each of their routes states its permission.

    Example: `return [api.blueprint()]`
    """


@hookspec
def pilothouse_tasks() -> Iterable[Task]:  # type: ignore[empty-body]
    """Return work for Celery workers, named `<plugin>.<verb>`; ids in, thin over the service.

    Example: `return [Task("weather.fetch", tasks.fetch, transaction=False)]`
    """


@hookspec
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:  # type: ignore[empty-body]
    """Return tasks that run again and again.

    Example: `return [BeatEntry("weather.hourly", "weather.fetch", every_s=3600)]`
    """


@hookspec
def pilothouse_events() -> Iterable[type[Event]]:  # type: ignore[empty-body]
    """Return the events that this plugin publishes; they live in its `events` module, its only public one.

    Example: `return [StormSeen]`
    """


@hookspec
def pilothouse_reactions() -> Iterable[Reaction]:  # type: ignore[empty-body]
    """Return reactions to other plugins' events (or one's own).

    Example: `return [Reaction("weather.note_failure", executions.events.Failed, reactions.note_failure)]`
    """


@hookspec
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:  # type: ignore[empty-body]
    """Return events that people may want to hear of, with how to put them into words.

    Example: `return [NotificationCategory("weather.storm", "Storms", "weather", StormSeen, notices.storm)]`
    """


@hookspec
def pilothouse_event_sinks() -> Iterable[EventSink]:  # type: ignore[empty-body]
    """Return what takes in events by their kind, not one by one: for plugins that serve all others, as notifications does.

    Example: `return [EventSink("weather.diary", lambda event: event.name().startswith("weather."), diary.write)]`
    """


@hookspec
def pilothouse_arrival_sinks() -> Iterable[ArrivalSink]:  # type: ignore[empty-body]
    """Return what takes note of who sends signals, how many, and what was refused and why.

    Example: `return [ArrivalSink("weather.stations", stations.note)]`
    """


@hookspec
def pilothouse_snippets() -> Iterable[Snippet]:  # type: ignore[empty-body]
    """Return how clients are connected, as text to copy, shown on the pages of first steps and of sources.

    Example: `return [Snippet("weather.vane", "Weather vane", lambda url, token: f"vane --to {url} --key {token}")]`
    """


@hookspec
def pilothouse_login_methods() -> Iterable[LoginMethod]:  # type: ignore[empty-body]
    """Return further ways to sign in, shown as buttons on the login page.

    Example: `return [LoginMethod("oidc", "Company account", "oidc.start")]`
    """


@hookspec
def pilothouse_cli() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Return commands for `pilothouse`; they run inside an application context.

    Example: `return [weather_command]`
    """


@hookspec
def pilothouse_health_checks() -> Iterable[HealthCheck]:  # type: ignore[empty-body]
    """Return checks for /readyz, the system page and `doctor`; each is given 2 seconds.

    Example: `return [HealthCheck("weather.station", check_station, "Set PILOTHOUSE_WEATHER_STATION")]`
    """


@hookspec
def pilothouse_enrichers() -> Iterable[Enricher]:  # type: ignore[empty-body]
    """Return functions that fill in fields of signals before they are recorded.

    Example: `return [Enricher(TokenUsage, prices.fill_in)]`
    """


@hookspec(firstresult=True)
def pilothouse_authenticate(request: Request) -> Principal | None:
    """Say who is calling, for ways of signing in that the core does not know. Asked after session and access token.

    Example: `return principal_of(request.headers.get("X-Weather-Pass"))`
    """


@hookspec(firstresult=True)
def pilothouse_credential(
    service: str, label: str | None, principal: Principal, passed_over: frozenset[str]
) -> Credential | None:
    """Return the secret for a service ("openai"), by label where one is asked for, that this principal may use.

    `passed_over` are the names of credentials that the service has just refused: the next one is wanted.

    Example: `return vault.open_newest(service, label, passed_over)`
    """


@hookspec(firstresult=True)
def pilothouse_price(usage: TokenUsage) -> Price | None:
    """Return what a usage costs; None where the model is not known.

    Example: `return Price(12_000, "price-1") if usage.model == "station-model" else None`
    """


@hookspec(firstresult=True)
def pilothouse_reserve(spend: Spend) -> Reservation | None:
    """Set money aside for a call, or raise BudgetUsedUp where a hard budget is spent; None where no budget applies.

    Example: `return budgets.reserve(spend)`
    """


@hookspec(firstresult=True)
def pilothouse_join(user_id: str) -> bool | None:
    """Let somebody in who was invited and whose address a login method has proved, in the open unit of work.

    True where they are a member now, False where their invitation is over; None for an invitation of somebody else's.

    Example: `return invites.accept_for(user_id)`
    """


@hookspec(firstresult=True)
def pilothouse_commands(token_id: str) -> Iterable[Command] | None:
    """Return what people want of the executions that this token reported; each is handed over once.

    Example: `return [Command("run-1", "cancel")]`
    """


@hookspec(firstresult=True)
def pilothouse_records(kind: str, ids: Sequence[str]) -> Mapping[str, Any] | None:
    """Return records of yours by id, as your own API answers them, for another plugin's answer; None for a foreign kind.

    Example: `return api.records(ids) if kind == "weather" else None`
    """
