"""The errors plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    Error,
    Event,
    Execution,
    Manifest,
    Measure,
    Model,
    NavItem,
    NotificationCategory,
    PaletteSource,
    Panel,
    Permission,
    Recorder,
    Task,
    hookimpl,
    roles_from,
)
from pilothouse_errors import api, counting, group_queries, notices, panels, recorder, service, tasks, views
from pilothouse_errors.api import ErrorRecord
from pilothouse_errors.events import GroupOpened, GroupResolved, Regressed
from pilothouse_errors.models import MODELS


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    description = "Failures, grouped by fault: what is new, what came back, who looks after it."
    return Manifest("errors", "Errors", description, requires=("executions",))


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
    """Return what records errors, and what links those that came before their execution."""
    return [Recorder(Error, recorder.record_errors, owner=True), Recorder(Execution, recorder.adopt)]


@hookimpl
def pilothouse_measures() -> Iterable[Measure]:
    """Return the measures."""
    return counting.MEASURES


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [
        Permission(api.VIEW, "See errors", roles_from("viewer"), "read"),
        Permission(api.MANAGE, "Resolve, ignore and assign errors", roles_from("member"), "write"),
    ]


@hookimpl
def pilothouse_panels() -> Iterable[Panel]:
    """Return the step of "Get started"."""
    return [Panel("errors.first_step", "welcome", api.VIEW, panels.first_step, 10)]


@hookimpl
def pilothouse_palette() -> Iterable[PaletteSource]:
    """Return what the command palette finds."""
    return [PaletteSource("errors", "Errors", api.VIEW, group_queries.find)]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the pages."""
    return [AdminView("errors", views.ErrorsView, api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar, with how many groups are open."""
    return [NavItem("Errors", "errors.index", api.VIEW, "Monitor", 20, "bug", "r", group_queries.open_groups)]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints."""
    return [api.blueprint()]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [
        Task(service.WALK, tasks.walk_group),
        Task("errors.wake", tasks.wake),
        Task("errors.sign", tasks.sign, transaction=False),
        Task("errors.purge", tasks.purge, transaction=False),
    ]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [
        BeatEntry("errors.sign", "errors.sign", every_s=5),
        BeatEntry("errors.wake", "errors.wake", every_s=60),
        BeatEntry("errors.purge", "errors.purge", every_s=900),
    ]


@hookimpl
def pilothouse_events() -> Iterable[type[Event]]:
    """Return what is published."""
    return [GroupOpened, Regressed, GroupResolved]


@hookimpl
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:
    """Return what people may want to hear of."""
    return [
        NotificationCategory("errors.opened", "New errors", "workflow", GroupOpened, notices.opened),
        NotificationCategory("errors.regressed", "Errors that are back", "workflow", Regressed, notices.regressed),
    ]


@hookimpl
def pilothouse_records(kind: str, ids: Sequence[str]) -> Mapping[str, ErrorRecord] | None:
    """Return errors for those who show them beside something else."""
    return api.records(ids) if kind == "errors" else None
