"""The OpenID Connect plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import HealthCheck, LoginMethod, Manifest, Model, Setting, hookimpl
from pilothouse_oidc import options, pages
from pilothouse_oidc.models import MODELS


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("oidc", "Single sign-on", "Signing in with an OpenID Connect provider.")


@hookimpl
def pilothouse_settings() -> Iterable[Setting]:
    """Return the settings."""
    return options.SETTINGS


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the table."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the two pages, open to everybody."""
    return [pages.blueprint()]


@hookimpl
def pilothouse_login_methods() -> Iterable[LoginMethod]:
    """Return the button of the login page."""
    return [LoginMethod("oidc", "Single sign-on", "oidc_login.start", options.offered)]


@hookimpl
def pilothouse_health_checks() -> Iterable[HealthCheck]:
    """Return the check of the set-up."""
    remedy = 'Set both PILOTHOUSE_OIDC_ISSUER and PILOTHOUSE_OIDC_CLIENT_ID, and `pip install "pilothouse[sso]"`.'
    return [HealthCheck("oidc.setup", options.problem, remedy, title="Single sign-on")]
