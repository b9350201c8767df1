"""The team plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    Event,
    Manifest,
    Model,
    NavItem,
    NotificationCategory,
    PaletteSource,
    Panel,
    Permission,
    Task,
    hookimpl,
)
from pilothouse_team import account_view, api, invite_pages, invites, notices, palette, panels, tasks, views
from pilothouse_team.events import EVENTS
from pilothouse_team.models import MODELS
from pilothouse_team.permissions import INVITE, PERMISSIONS, SELF, VIEW


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("team", "Team", "Members, invitations, what each member did, and the audit log.")


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
    return PERMISSIONS


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the pages."""
    return [AdminView("team", views.TeamView, VIEW), AdminView("team_account", account_view.AccountView, SELF)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar, and the one of the reader's own menu."""
    return [
        NavItem("Team", "team.index", VIEW, "Workspace", 120, "people", "m"),
        NavItem("Your account", "team_account.index", SELF, "Account", 10, "settings"),
    ]


@hookimpl
def pilothouse_panels() -> Iterable[Panel]:
    """Return the step of "Get started"."""
    return [Panel("team.first_step", "welcome", INVITE, panels.first_step, 20)]


@hookimpl
def pilothouse_palette() -> Iterable[PaletteSource]:
    """Return what the palette finds."""
    return [PaletteSource("team", "Members", VIEW, palette.find)]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints, and the pages of invitations."""
    return [api.blueprint(), invite_pages.blueprint()]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [Task(invites.SEND, tasks.send_invite, transaction=False)]


@hookimpl
def pilothouse_events() -> Iterable[type[Event]]:
    """Return what is published."""
    return EVENTS


@hookimpl
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:
    """Return what people may want to hear of."""
    return notices.CATEGORIES


@hookimpl
def pilothouse_join(user_id: str) -> bool | None:
    """Accept the invitation of somebody who proved their address by another login method."""
    return invites.accept_for(user_id)
