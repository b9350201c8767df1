"""The deploys plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    Manifest,
    Measure,
    Model,
    NavItem,
    Panel,
    Permission,
    Recorder,
    Setting,
    Signal,
    Task,
    hookimpl,
    roles_from,
    whole,
)
from pilothouse_deploys import api, recorder, tasks, views
from pilothouse_deploys.models import DeployRow
from pilothouse_deploys.signals import Deploy


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is; it shows a card on executions' pages, so it needs them."""
    return Manifest("deploys", "Deployments", "What was brought out when, beside what ran.", requires=("executions",))


@hookimpl
def pilothouse_settings() -> Iterable[Setting]:
    """Return the settings."""
    return [Setting("PILOTHOUSE_DEPLOYS_KEPT_DAYS", whole(1, 3650), 365, "Days after which deployments are deleted")]


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return [DeployRow]


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_signals() -> Iterable[type[Signal]]:
    """Return the signal type."""
    return [Deploy]


@hookimpl
def pilothouse_recorders() -> Iterable[Recorder]:
    """Return what stores it."""
    return [Recorder(Deploy, recorder.record, owner=True)]


@hookimpl
def pilothouse_measures() -> Iterable[Measure]:
    """Return the measure: trends, comparison and CSV come by themselves."""
    return [Measure(recorder.COUNT, "Deployments", "1", "count", ("service", "environment"))]


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permission."""
    return [Permission(api.VIEW, "See deployments", roles_from("viewer"), "read")]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoint."""
    return [api.blueprint()]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the page."""
    return [AdminView("deploys", views.DeploysView, api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the sidebar's entry."""
    return [NavItem("Deployments", "deploys.index", api.VIEW, "Insights", 90, "flag")]


@hookimpl
def pilothouse_panels() -> Iterable[Panel]:
    """Return the card on executions' pages."""
    return [Panel("deploys.newest", "executions.detail", api.VIEW, views.card)]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the task."""
    return [Task("deploys.forget", tasks.forget)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [BeatEntry("deploys.forget", "deploys.forget", every_s=3600)]
