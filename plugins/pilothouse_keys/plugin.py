"""The keys plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    Credential,
    Event,
    Manifest,
    Model,
    NavItem,
    NotificationCategory,
    Permission,
    Recorder,
    Task,
    TokenUsage,
    hookimpl,
    roles_from,
)
from pilothouse_keys import api, notices, recorder, tasks, views
from pilothouse_keys import service as vault
from pilothouse_keys.events import Added, Expiring, Revoked, Rotated
from pilothouse_keys.models import MODELS


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("keys", "API keys", "Keys of model providers, encrypted, and access tokens of programs.")


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
    """Return what counts the uses of keys."""
    return [Recorder(TokenUsage, recorder.count_uses)]


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [
        Permission(api.VIEW, "See key names and their usage", roles_from("member"), "read"),
        Permission(api.MANAGE, "Manage provider keys", roles_from("admin"), "admin"),
        Permission(api.TOKENS, "Manage access tokens", roles_from("admin"), "admin"),
    ]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints."""
    return [api.blueprint()]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the page."""
    return [AdminView("keys", views.KeysView, api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the sidebar's entry."""
    return [NavItem("API keys", "keys.index", api.VIEW, "Workspace", 60, "key", "k")]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [Task("keys.tell_expiring", tasks.tell_expiring), Task("keys.rewrap", tasks.rewrap, transaction=False)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule; re-wrapping finds nothing to do unless the master key was rotated."""
    return [
        BeatEntry("keys.tell_expiring", "keys.tell_expiring", every_s=3600),
        BeatEntry("keys.rewrap", "keys.rewrap", every_s=3600),
    ]


@hookimpl
def pilothouse_events() -> Iterable[type[Event]]:
    """Return what is published."""
    return [Added, Rotated, Revoked, Expiring]


@hookimpl
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:
    """Return what people may want to hear of."""
    return [
        NotificationCategory("keys.added", "A key was added", "system", Added, notices.added),
        NotificationCategory("keys.rotated", "A key was rotated", "system", Rotated, notices.rotated),
        NotificationCategory("keys.revoked", "A key was revoked", "system", Revoked, notices.revoked),
        NotificationCategory("keys.expiring", "A key expires soon", "system", Expiring, notices.expiring),
    ]


@hookimpl
def pilothouse_credential(service: str, label: str | None, passed_over: frozenset[str]) -> Credential | None:
    """Open the newest usable key of a service, or the one that is asked for."""
    return vault.open_newest(service, label, passed_over)
