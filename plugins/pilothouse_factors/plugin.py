"""The plugin of second factors: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    LoginMethod,
    Manifest,
    Model,
    Panel,
    Permission,
    Task,
    hookimpl,
    roles_from,
)
from pilothouse_factors import ceremonies, commands, entrance, panels, tasks, views
from pilothouse_factors.models import MODELS
from pilothouse_factors.permissions import SELF


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("factors", "Passkeys and codes", "Signing in with passkeys, and a code as a second step.")


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
    """Return the permission."""
    return [Permission(SELF, "Manage one's own passkeys and codes", roles_from("viewer"), "write")]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the page."""
    return [AdminView("factors", views.FactorsView, SELF)]


@hookimpl
def pilothouse_panels() -> Iterable[Panel]:
    """Return the card on the page of one's account."""
    return [Panel("factors.account", "team.account", SELF, panels.account_card)]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the pages on the way in."""
    return [entrance.blueprint()]


@hookimpl
def pilothouse_login_methods() -> Iterable[LoginMethod]:
    """Return the button of the login page."""
    return [LoginMethod("factors", "Passkey", "factors_entrance.ask_passkey", ceremonies.possible)]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [Task("factors.rewrap", tasks.rewrap, transaction=False), Task("factors.tidy", tasks.tidy)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [
        BeatEntry("factors.rewrap", "factors.rewrap", every_s=3600),
        BeatEntry("factors.tidy", "factors.tidy", every_s=3600),
    ]


@hookimpl
def pilothouse_cli() -> Iterable[click.Command]:
    """Return the command."""
    return [commands.factors]
