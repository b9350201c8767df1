"""The notifications plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    EventSink,
    Manifest,
    Model,
    NavItem,
    Panel,
    Permission,
    Task,
    hookimpl,
    roles_from,
)
from pilothouse_notifications import api, panels, recorder, tasks, unsubscribing, views
from pilothouse_notifications.models import MODELS
from pilothouse_notifications.permissions import CHANGE, DELIVERIES, MANAGE, VIEW


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("notifications", "Notifications", "Tells people what happened: in the console, by mail, by channels.")


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [
        Permission(VIEW, "See one's own notifications", roles_from("viewer"), "read"),
        Permission(CHANGE, "Mark one's own notifications and choose what to be told", roles_from("viewer"), "write"),
        Permission(MANAGE, "Manage the channels that the team is told by", roles_from("admin"), "admin"),
        Permission(DELIVERIES, "See who was told what, and try it again", roles_from("admin"), "admin"),
    ]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the pages."""
    return [AdminView("notifications", views.NotificationsView, VIEW)]


@hookimpl
def pilothouse_panels() -> Iterable[Panel]:
    """Return the step of "Get started"."""
    return [Panel("notifications.first_step", "welcome", VIEW, panels.first_step, 30)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar; the bell shows its count."""
    badge = views.unread_badge
    return [NavItem("Notifications", "notifications.index", VIEW, "Monitor", 40, "bell", "n", badge, personal=True)]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints."""
    return [api.blueprint(), unsubscribing.blueprint()]


@hookimpl
def pilothouse_event_sinks() -> Iterable[EventSink]:
    """Return what takes in every event that some plugin declares a category for."""
    return [EventSink("notifications.recorder", recorder.wants, recorder.take)]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks; they open their own units of work, so that a long one keeps nobody from writing."""
    return [
        Task("notifications.fan_out", tasks.fan_out, transaction=False, limit_s=300),
        Task("notifications.deliver", tasks.deliver, transaction=False),
        Task("notifications.sweep", tasks.sweep, transaction=False, limit_s=300),
        Task("notifications.purge", tasks.purge, transaction=False),
        Task("notifications.rewrap", tasks.rewrap, transaction=False),
    ]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [
        BeatEntry("notifications.sweep", "notifications.sweep", every_s=10),
        BeatEntry("notifications.purge", "notifications.purge", every_s=3600),
        BeatEntry("notifications.rewrap", "notifications.rewrap", every_s=3600),
    ]
