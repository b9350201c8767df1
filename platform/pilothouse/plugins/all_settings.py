"""The settings of the core and of the installed plugins, read together: whoever corrects them hears of every wrong one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pilothouse.errors import SettingsError
from pilothouse.plugins.discovery import discover
from pilothouse.plugins.registry import build_registry
from pilothouse.settings import Settings, names, read_settings


def read_every_setting(environ: Mapping[str, str] | None = None, *, require_secrets: bool = True) -> Settings:
    """Read the core's settings. Raises SettingsError, which names the wrong ones of plugins along with the core's."""
    environ = os.environ if environ is None else environ
    try:
        return read_settings(environ, require_secrets=require_secrets)
    except SettingsError:
        registry = build_registry(discover(names(environ.get("PILOTHOUSE_PLUGINS_DISABLED", ""))))
        return read_settings(environ, [one for _, one in registry.all("settings")], require_secrets=require_secrets)
