"""The executions plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    MINUTE,
    AdminView,
    BeatEntry,
    Command,
    Error,
    Event,
    Manifest,
    Measure,
    Model,
    NavItem,
    NotificationCategory,
    PaletteSource,
    Permission,
    Reaction,
    Recorder,
    Setting,
    Step,
    Task,
    TokenUsage,
    duration,
    hookimpl,
    roles_from,
)
from pilothouse.sdk import Execution as ExecutionSignal
from pilothouse_executions import (
    api,
    counting,
    links,
    notices,
    palette,
    queries,
    reactions,
    recorder,
    service,
    tasks,
    totals,
    views,
)  # fmt: skip
from pilothouse_executions.events import CommandGiven, Failed, Finished, Lost, UsageCorrected
from pilothouse_executions.models import MODELS


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("executions", "Executions", "Workflows, their runs and the steps of each run, live.")


@hookimpl
def pilothouse_settings() -> Iterable[Setting]:
    """Return the settings."""
    return [
        Setting("PILOTHOUSE_LOST_AFTER", duration, 30 * MINUTE, "Silence after which a running execution is lost")
    ]


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_recorders() -> Iterable[Recorder]:
    """Return what records executions and steps, and what counts errors and usage of them."""
    return [
        Recorder(ExecutionSignal, recorder.record_executions, owner=True, prepare=links.link_executions),
        Recorder(Step, recorder.record_steps, owner=True, prepare=links.link_children),
        Recorder(Error, totals.count_errors, prepare=links.link_children),
        Recorder(TokenUsage, totals.count_usage, prepare=links.link_children),
    ]


@hookimpl
def pilothouse_measures() -> Iterable[Measure]:
    """Return the measures."""
    return counting.MEASURES


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [
        Permission(api.VIEW, "See executions", roles_from("viewer"), "read"),
        Permission(api.CHANGE, "Cancel and rerun executions", roles_from("member"), "write"),
        Permission(api.REPORT, "Report executions", roles_from("member"), "write", or_scope="ingest"),
    ]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the pages."""
    return [AdminView("executions", views.ExecutionsView, api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar, with how many run now."""
    return [NavItem("Executions", "executions.index", api.VIEW, "Monitor", 10, "activity", "e", queries.running)]


@hookimpl
def pilothouse_palette() -> Iterable[PaletteSource]:
    """Return what the palette finds."""
    return [PaletteSource("executions", "Executions", api.VIEW, palette.find)]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints."""
    return [api.blueprint()]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [
        Task("executions.mark_lost", tasks.mark_lost),
        Task("executions.expire", tasks.expire, transaction=False),
    ]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [
        BeatEntry("executions.mark_lost", "executions.mark_lost", every_s=10),
        BeatEntry("executions.expire", "executions.expire", every_s=600),
    ]


@hookimpl
def pilothouse_events() -> Iterable[type[Event]]:
    """Return what is published."""
    return [Finished, Failed, Lost, CommandGiven, UsageCorrected]


@hookimpl
def pilothouse_reactions() -> Iterable[Reaction]:
    """Return the reactions: corrections of usage that others keep."""
    return [Reaction("executions.correct_usage", UsageCorrected, reactions.correct_usage, when="now")]


@hookimpl
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:
    """Return what people may want to hear of."""
    return notices.CATEGORIES


@hookimpl
def pilothouse_commands(token_id: str) -> Iterable[Command] | None:
    """Hand over what people want of the executions that a token reported."""
    return service.deliver_commands(token_id)
