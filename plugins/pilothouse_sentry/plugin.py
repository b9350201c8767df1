"""The Sentry plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint, Request

from pilothouse.sdk import BeatEntry, Manifest, Model, Principal, Snippet, Task, hookimpl
from pilothouse_sentry import api, credentials, snippets, tasks
from pilothouse_sentry.door import Door
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
    """Return the door."""
    return [api.blueprint(Door())]


@hookimpl
def pilothouse_snippets() -> Iterable[Snippet]:
    """Return how clients are pointed at this server."""
    return snippets.SNIPPETS


@hookimpl
def pilothouse_authenticate(request: Request) -> Principal | None:
    """Know access tokens where Sentry's SDKs put the key of their DSN."""
    return credentials.principal_of(request)
