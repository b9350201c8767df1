"""The part of the core's contributions that signing in needs, as a plugin of its own."""

from pilothouse.access import CORE_PERMISSIONS
from pilothouse.contract.contributions import Manifest
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.identity import api, tasks


@hookimpl
def pilothouse_manifest():
    return Manifest("core", "Core", "Signing in.")


@hookimpl
def pilothouse_permissions():
    return CORE_PERMISSIONS


@hookimpl
def pilothouse_api_blueprints():
    return [api.blueprint()]


@hookimpl
def pilothouse_tasks():
    return tasks.TASKS
