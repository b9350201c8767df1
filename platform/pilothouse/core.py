"""The core's own contributions, through the same hooks as everybody's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pilothouse_migrations as core_migrations
from flask import Blueprint

from pilothouse import audit, bus, containment, health, measure_models, measure_rollups
from pilothouse.access import CORE_PERMISSIONS, Permission
from pilothouse.contract.events import Event
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.notices import NotificationCategory
from pilothouse.contract.pages import NavItem, Snippet
from pilothouse.contract.work import BeatEntry, HealthCheck, Task
from pilothouse.db import Model
from pilothouse.identity import api as identity_api
from pilothouse.identity import models as identity_models
from pilothouse.identity import tasks as identity_tasks
from pilothouse.plugins.models import PluginSwitch
from pilothouse.web import core_pages, health_api, idempotency, ingest_api, snippets, system_api
from pilothouse.web import models as web_models
from pilothouse.work import api as work_api
from pilothouse.work import events as work_events
from pilothouse.work import models as work_models
from pilothouse.work import notices as work_notices
from pilothouse.work import tasks as work_tasks


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the core is."""
    return Manifest("core", "Core", "Signing in, signals, measures, work and the console itself.")


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the core's tables."""
    return [
        *identity_models.MODELS, *work_models.MODELS, *web_models.MODELS, *audit.MODELS,
        *measure_models.MODELS, idempotency.IdempotentAnswer, PluginSwitch,
    ]  # fmt: skip


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the core's revisions."""
    return Path(core_migrations.__path__[0]) / "versions"


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the core's permissions."""
    return CORE_PERMISSIONS


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the core's entries of the sidebar."""
    return core_pages.NAVIGATION


@hookimpl
def pilothouse_snippets() -> Iterable[Snippet]:
    """Return how programs report without another service's client."""
    return snippets.CORE_SNIPPETS


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the core's endpoints."""
    return [ingest_api.blueprint(), system_api.blueprint(), identity_api.blueprint(), work_api.blueprint(),
            health_api.blueprint()]  # fmt: skip


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the core's tasks."""
    return [
        Task(bus.REACT, bus.react),
        Task("core.compact_measures", measure_rollups.compact, transaction=False),
        Task("core.purge_measures", measure_rollups.purge, transaction=False),
        Task("core.purge_idempotent_answers", idempotency.purge),
        *identity_tasks.TASKS,
        *containment.TASKS,
        *work_tasks.TASKS,
    ]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the core's schedule."""
    return [
        BeatEntry("core.compact_measures", "core.compact_measures", every_s=5),
        BeatEntry("core.purge_measures", "core.purge_measures", every_s=3600),
        BeatEntry("core.purge_idempotent_answers", "core.purge_idempotent_answers", every_s=3600),
        *identity_tasks.BEAT,
        *containment.BEAT,
        *work_tasks.BEAT,
    ]


@hookimpl
def pilothouse_events() -> Iterable[type[Event]]:
    """Return the core's events."""
    return [*work_events.EVENTS, *containment.EVENTS]


@hookimpl
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:
    """Return what people may want to hear of the core."""
    return [*work_notices.CATEGORIES, *containment.CATEGORIES]


@hookimpl
def pilothouse_health_checks() -> Iterable[HealthCheck]:
    """Return the core's checks."""
    return health.CHECKS
