"""Mounting what plugins bring: API blueprints, with switched-off plugins answering 404 and every route's permission known."""

from __future__ import annotations

from flask import Flask, request

from pilothouse.access import PUBLIC
from pilothouse.errors import NotFound, PluginError
from pilothouse.plugins.registry import Registry
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import application

OWNERS = "pilothouse_owners"  # blueprint name -> plugin name


def mount(app: Flask, registry: Registry) -> None:
    """Register every plugin's blueprints. A plugin whose blueprint cannot be mounted is taken out with the reason.

    Raises PluginError where a route of anybody states no permission: the application does not start open.
    """
    owners: dict[str, str] = {}
    for plugin, blueprint in registry.all("api_blueprints"):
        try:
            app.register_blueprint(blueprint)
        except (ValueError, AssertionError) as fault:
            state = registry.get(plugin)
            if state is not None:
                state.state, state.reason = "failed", f"its routes cannot be mounted: {fault}"
            continue
        owners[blueprint.name] = plugin
    app.extensions[OWNERS] = owners
    app.before_request(_refuse_switched_off)
    require_permissions(app, registry)


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
