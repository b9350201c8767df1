"""The Sentry plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, Request

from pilothouse.sdk import Manifest, Principal, Snippet, hookimpl
from pilothouse_sentry import api, credentials, snippets
from pilothouse_sentry.door import Door


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("sentry", "Sentry", "Takes what Sentry's SDKs send, with only the DSN changed.")


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
