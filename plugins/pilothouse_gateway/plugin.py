"""The gateway plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint, Request

from pilothouse.sdk import (
    BeatEntry,
    Manifest,
    Model,
    Panel,
    Permission,
    Principal,
    Setting,
    Snippet,
    Task,
    hookimpl,
    roles_from,
)
from pilothouse_gateway import api, credentials, panels, snippets, tasks
from pilothouse_gateway.models import MODELS
from pilothouse_gateway.relaying import Gateway
from pilothouse_gateway.settings import SETTINGS

VIEW_CONTENT = "gateway.contents.view"


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("gateway", "AI gateway", "Passes calls on to model providers with a key of the vault, and records each.")


@hookimpl
def pilothouse_settings() -> Iterable[Setting]:
    """Return the settings."""
    return SETTINGS


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the table."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [
        Permission(api.CALL, "Call models through the gateway", roles_from("member"), "gateway"),
        Permission(VIEW_CONTENT, "Read prompts and answers of gateway calls", roles_from("member"), "read"),
    ]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the doors."""
    return [api.blueprint(Gateway())]


@hookimpl
def pilothouse_authenticate(request: Request) -> Principal | None:
    """Know access tokens where SDKs put the provider's key."""
    return credentials.principal_of(request)


@hookimpl
def pilothouse_panels() -> Iterable[Panel]:
    """Return the card on an execution's page."""
    return [Panel("gateway.contents", "executions.detail", VIEW_CONTENT, panels.of_execution)]


@hookimpl
def pilothouse_snippets() -> Iterable[Snippet]:
    """Return how SDKs are pointed here."""
    return snippets.SNIPPETS


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [
        Task("gateway.forget", tasks.forget, transaction=False),
        Task("gateway.recover", tasks.recover_calls, transaction=False),
    ]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [
        BeatEntry("gateway.forget", "gateway.forget", every_s=300),
        BeatEntry("gateway.recover", "gateway.recover", every_s=60),
    ]
