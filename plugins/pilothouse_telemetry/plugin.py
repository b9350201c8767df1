"""The telemetry plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    Error,
    EventSignal,
    EventSink,
    Execution,
    Manifest,
    Measure,
    Model,
    NavItem,
    Permission,
    Recorder,
    Task,
    hookimpl,
    roles_from,
)
from pilothouse_telemetry import api, counting, recorder, service, tasks, views
from pilothouse_telemetry.models import MODELS


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("telemetry", "Telemetry", "Events of people and components, and analytics over every plugin's measures.")


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
    """Return what records events, and what notes the releases of executions and errors."""
    return [
        Recorder(EventSignal, recorder.record_events, owner=True),
        Recorder(Execution, recorder.note_releases),
        Recorder(Error, recorder.note_releases),
    ]


@hookimpl
def pilothouse_event_sinks() -> Iterable[EventSink]:
    """Return what keeps the facts that other plugins want marked on charts."""
    return [EventSink("telemetry.marks", service.says_something, service.keep_marks)]


@hookimpl
def pilothouse_measures() -> Iterable[Measure]:
    """Return the measures."""
    return counting.MEASURES


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [Permission(api.VIEW, "See telemetry and analytics", roles_from("viewer"), "read")]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the pages."""
    return [AdminView("telemetry", lambda: views.AnalyticsView("telemetry"), api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar."""
    return [NavItem("Analytics", "telemetry.index", api.VIEW, "Insights", 10, "chart", "a")]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints."""
    return [api.blueprint()]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [Task("telemetry.purge", tasks.purge, transaction=False)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [BeatEntry("telemetry.purge", "telemetry.purge", every_s=3600)]
