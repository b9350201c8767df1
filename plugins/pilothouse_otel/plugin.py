"""The OpenTelemetry plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint, Request

from pilothouse.sdk import BeatEntry, Door, Manifest, Measure, Model, Principal, Snippet, Task, hookimpl
from pilothouse_otel import api, credentials, langfuse_api, metrics, snippets, tasks
from pilothouse_otel.door import FULL, source
from pilothouse_otel.models import MODELS

BLUEPRINTS = frozenset({"otel_api", "otel_langfuse_api", "otel_agents_api"})


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("otel", "OpenTelemetry", "Takes what OpenTelemetry, Langfuse and openai-agents send, where they send it.")


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_measures() -> Iterable[Measure]:
    """Return the measures that metrics add to."""
    return metrics.MEASURES


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the doors."""
    door = Door(source, FULL)
    return [api.blueprint(door), langfuse_api.blueprint(door), langfuse_api.agents_blueprint(door)]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the task."""
    return [Task("otel.forget", tasks.forget, transaction=False)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [BeatEntry("otel.forget", "otel.forget", every_s=3600)]


@hookimpl
def pilothouse_snippets() -> Iterable[Snippet]:
    """Return how clients are pointed at this server."""
    return snippets.SNIPPETS


@hookimpl
def pilothouse_authenticate(request: Request) -> Principal | None:
    """Know access tokens where other services' clients put their keys."""
    return credentials.principal_of(request, BLUEPRINTS)
