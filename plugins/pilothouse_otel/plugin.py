"""The OpenTelemetry plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, Request

from pilothouse.sdk import Manifest, Principal, hookimpl
from pilothouse_otel import api, credentials
from pilothouse_otel.door import Door


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("otel", "OpenTelemetry", "Takes what OpenTelemetry, Langfuse and openai-agents send, where they send it.")


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the doors."""
    door = Door()
    return [api.blueprint(door)]


@hookimpl
def pilothouse_authenticate(request: Request) -> Principal | None:
    """Know access tokens where other services' clients put their keys."""
    return credentials.principal_of(request, frozenset({"otel_api"}))
