"""Mounting what plugins bring: API blueprints, with switched-off plugins answering 404 and every route's permission known."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flask import Blueprint, Flask, request

from pilothouse import logs
from pilothouse.access import PUBLIC
from pilothouse.errors import NotFound, PluginError
from pilothouse.plugins.registry import CORE, Registry
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import application

_PARAMETER = re.compile(r"<[^>]*>")
REACHES = (  # what Flask keeps for all requests under the key None
    "before_request_funcs", "after_request_funcs", "teardown_request_funcs", "template_context_processors",
    "url_value_preprocessors", "url_default_functions",
)  # fmt: skip
OWNERS = "pilothouse_owners"  # blueprint name -> plugin name


def mount(app: Flask, registry: Registry) -> None:
    """Register every plugin's blueprints. A plugin whose blueprint cannot be mounted is taken out with the reason.

    Raises PluginError where a route of anybody states no permission: the application does not start open.
    """
    owners: dict[str, str] = {}
    for plugin, blueprint in registry.all("api_blueprints"):
        owners.setdefault(blueprint.name, plugin)  # also of one that fails: what is half mounted must answer 404
        try:
            if plugin == CORE:  # whose own hooks count and log all requests
                app.register_blueprint(blueprint)
            else:
                _register(app, blueprint)
        except Exception as fault:  # noqa: BLE001 - a blueprint's own set-up may raise anything; it takes its plugin out
            _take_out(registry, plugin, f"its routes cannot be mounted: {fault}")
    owners.update({page.name: plugin for plugin, page in registry.all("admin_views")})  # each page is a blueprint, too
    _refuse_shadowing(app, registry, owners)
    app.extensions[OWNERS] = owners
    app.before_request(_refuse_switched_off)
    require_permissions(app, registry)


def _register(app: Flask, blueprint: Blueprint) -> None:
    """Register a blueprint. Raises ValueError where it reaches into the requests of others, which is undone then.

    What fails in `before_app_request` and its like would fail on every page.
    """
    functions = [getattr(app, name) for name in REACHES]
    known = [list(found[None]) for found in functions]
    handlers = {code: dict(found) for code, found in app.error_handler_spec[None].items()}
    app.register_blueprint(blueprint)
    if [found[None] for found in functions] == known and app.error_handler_spec[None] == handlers:
        return
    for found, before in zip(functions, known, strict=True):
        found[None] = before
    app.error_handler_spec[None].clear()
    app.error_handler_spec[None].update(handlers)
    raise ValueError(f"the blueprint {blueprint.name} hooks into the requests of others")


def _refuse_shadowing(app: Flask, registry: Registry, owners: Mapping[str, str]) -> None:
    """Take out plugins with a route in the place of an earlier one.

    Names of parameters tell no two rules apart, nor does a slash at the end: people type addresses with it and without.
    """
    taken: dict[tuple[str, str], str] = {}
    for rule in app.url_map.iter_rules():
        blueprint = rule.endpoint.partition(".")[0]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            other = taken.setdefault((_PARAMETER.sub("<>", rule.rule).rstrip("/"), method), rule.endpoint)
            if other.partition(".")[0] != blueprint and blueprint in owners:
                words = f"its routes cannot be mounted: {method} {rule.rule} is taken by {other}"
                _take_out(registry, owners[blueprint], words)


def _take_out(registry: Registry, plugin: str, reason: str) -> None:
    state = registry.get(plugin)
    if plugin == CORE or state is None:
        raise PluginError(plugin, reason)
    state.state, state.reason = "failed", reason
    logs.get("plugins").error("plugin_failed", plugin=plugin, what="mount", reason=reason)


def require_permissions(app: Flask, registry: Registry) -> None:
    """Check that every route states a permission that exists. Raises PluginError that names the route."""
    for rule in app.url_map.iter_rules():
        permission = permission_of(app, rule.endpoint)
        if permission is None:
            raise PluginError("core", f"the route {rule.rule} ({rule.endpoint}) states no permission")
        if permission != PUBLIC:
            registry.permission(permission)


def permission_of(app: Flask, endpoint: str) -> str | None:
    """Return the permission that a route states: on its view function, or on the Flask-Admin view that it belongs to."""
    view = app.view_functions[endpoint]
    permission = getattr(view, "permission", None)
    if permission is None:
        admin_view = getattr(view, "__self__", None)
        permission = getattr(admin_view, "permission", None)
    return permission if isinstance(permission, str) else None


def _refuse_switched_off() -> None:
    owner = application().extensions[OWNERS].get(request.blueprint)
    if owner is not None and not is_enabled(owner):
        raise NotFound(f"The plugin {owner} is switched off.")
