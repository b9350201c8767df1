"""The sources plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    ArrivalSink,
    BeatEntry,
    Manifest,
    Model,
    NavItem,
    Permission,
    Task,
    hookimpl,
    roles_from,
)
from pilothouse_sources import api, tasks, views
from pilothouse_sources.models import MODELS
from pilothouse_sources.recorder import Tally


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("sources", "Sources", "Who sends signals, what was refused and why, and how to connect a client.")


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_arrival_sinks() -> Iterable[ArrivalSink]:
    """Return what counts arrivals."""
    return [ArrivalSink("sources.tally", Tally().take)]


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permission."""
    return [Permission(api.VIEW, "See who sends signals", roles_from("viewer"), "read")]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the page."""
    return [AdminView("sources", lambda: views.SourcesView("sources"), api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar."""
    return [NavItem("Sources", "sources.index", api.VIEW, "Workspace", 50, "link")]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoint."""
    return [api.blueprint()]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the task."""
    return [Task("sources.forget", tasks.forget)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [BeatEntry("sources.forget", "sources.forget", every_s=3600)]
