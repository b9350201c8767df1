"""The plugins and the OpenAPI document over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from flask import Flask, Response

from pilothouse import audit
from pilothouse.db import unit_of_work
from pilothouse.errors import NotFound
from pilothouse.identity.principal import require
from pilothouse.identity.proving import require_proof
from pilothouse.plugins.switches import is_enabled, switch
from pilothouse.runtime import application, runtime
from pilothouse.web.api import ApiBlueprint
from pilothouse.web.openapi import openapi_document
from pilothouse.web.paging import Page

_documents: WeakKeyDictionary[Flask, Mapping[str, Any]] = WeakKeyDictionary()


class PluginRecord(msgspec.Struct, frozen=True):
    """One plugin as it stands; `state` is enabled, disabled or failed, `adds` counts what it contributes."""

    name: str
    title: str
    description: str
    state: str
    enabled: bool
    reason: str
    distribution: str
    version: str
    requires: list[str]
    adds: dict[str, int]
    failures: list[dict[str, Any]]


class PluginChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a plugin."""

    enabled: bool


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("system")
    bp.get("/openapi.json", permission="public")(openapi)
    bp.get("/plugins", permission="core.plugins.view")(list_plugins)
    bp.patch("/plugins/<name>", permission="core.plugins.manage", transaction=False)(change_plugin)
    return bp


def openapi() -> Response:
    """Return the OpenAPI document of this server."""
    document = current_document()
    return Response(msgspec.json.encode(document), content_type="application/json")


def current_document() -> Mapping[str, Any]:
    """Return the OpenAPI document of the running application; it is made once, since its routes never change."""
    app, run = application(), runtime()
    document = _documents.get(app)
    if document is None:
        document = openapi_document(app, run.registry.permissions, run.settings.base_url, version("pilothouse"))
        _documents[app] = document
    return document


def list_plugins() -> Page[PluginRecord]:
    """List the plugins with their state and, where one failed, the reason."""
    return Page([describe_plugin(plugin.name) for plugin in runtime().registry.plugins])


def change_plugin(name: str, body: PluginChange) -> PluginRecord:
    """Switch a plugin on or off. It takes effect in every process within two seconds and keeps all data."""
    principal = require("core.plugins.manage")
    require_proof()
    if body.enabled != is_enabled(name):
        with unit_of_work():  # of its own: the answer tells how things stand after it
            switch(name, enabled=body.enabled, by=principal.id)
            audit.record("plugin.enabled" if body.enabled else "plugin.disabled", f"plugin:{name}")
    return describe_plugin(name)


def describe_plugin(name: str) -> PluginRecord:
    """Describe one plugin. Raises NotFound."""
    plugin = runtime().registry.get(name)
    if plugin is None:
        raise NotFound(f"There is no plugin named {name}.")
    enabled = is_enabled(name)
    manifest = plugin.manifest
    failures = [
        {"what": what, "count": f.count, "last_at": f.last_at, "reason": f.last_reason, "resting_until": f.resting_until}
        for what, f in runtime().registry.guard.of(name).items()
    ]
    return PluginRecord(
        name=name,
        title=manifest.title if manifest else name,
        description=manifest.description if manifest else "",
        state="failed" if plugin.state == "failed" else "enabled" if enabled else "disabled",
        enabled=enabled,
        reason=plugin.reason,
        distribution=plugin.distribution,
        version=plugin.version,
        requires=list(manifest.requires) if manifest else [],
        adds={kind: len(items) for kind, items in plugin.contributions.items()},
        failures=failures,
    )
