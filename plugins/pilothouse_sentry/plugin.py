"""The Sentry plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint, Request

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    Door,
    Manifest,
    Model,
    NavItem,
    Permission,
    Principal,
    Snippet,
    Task,
    hookimpl,
    roles_from,
)
from pilothouse_sentry import api, credentials, monitors_api, snippets, tasks, views
from pilothouse_sentry.door import FULL, source
from pilothouse_sentry.models import MODELS


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("sentry", "Sentry", "Takes what Sentry's SDKs send, with only the DSN changed.")


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [Task("sentry.find_missed", tasks.find_missed), Task("sentry.forget", tasks.forget)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [
        BeatEntry("sentry.find_missed", "sentry.find_missed", every_s=30),
        BeatEntry("sentry.forget", "sentry.forget", every_s=86_400),
    ]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the door and the endpoint of the scheduled jobs."""
    return [api.blueprint(Door(source, FULL)), monitors_api.blueprint()]


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permission."""
    return [Permission(monitors_api.VIEW, "See scheduled jobs", roles_from("viewer"), "read")]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the page."""
    return [AdminView("sentry", lambda: views.MonitorsView("sentry"), monitors_api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar."""
    return [NavItem("Scheduled jobs", "sentry.index", monitors_api.VIEW, "Monitor", 30, "clock", "j")]


@hookimpl
def pilothouse_snippets() -> Iterable[Snippet]:
    """Return how clients are pointed at this server."""
    return snippets.SNIPPETS


@hookimpl
def pilothouse_authenticate(request: Request) -> Principal | None:
    """Know access tokens where Sentry's SDKs put the key of their DSN."""
    return credentials.principal_of(request)
