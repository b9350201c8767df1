"""The application for commands: on the settings of the environment and the data folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
from flask import Flask

from pilothouse import home, logs
from pilothouse.errors import SettingsError
from pilothouse.settings import Settings, read_settings


def make_app(*, quiet: bool = True) -> Flask:
    """Build the application. With `quiet`, nothing is logged: a command says what it has to say itself.

    Raises SettingsError.
    """
    from pilothouse.app import create_app  # a second of imports, which `--help` and `up` do without

    if quiet:
        logs.configure("cli", silent=True)
    app = create_app(settings())
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(lambda: _close(app))
    return app


def _close(app: Flask) -> None:
    """End an application's connections to the database with the command: PostgreSQL would log each as cut off."""
    from pilothouse.db import db

    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def settings(environ: Mapping[str, str] | None = None, *, require_secrets: bool = True) -> Settings:
    """Read the settings, with what the data folder knows. Raises SettingsError with every wrong one, plugins' included."""
    environ = home.environment(os.environ) if environ is None else environ
    try:
        return read_settings(environ, require_secrets=require_secrets)
    except SettingsError:
        from pilothouse.plugins.all_settings import read_every_setting  # which imports every plugin

        return read_every_setting(environ, require_secrets=require_secrets)


def in_application(command: click.Command, app: Flask | None = None) -> click.Command:
    """Return the same command, and all below it, running in an application context that is made when it is called."""
    if isinstance(command, click.Group):
        group = click.Group(command.name, help=command.help)
        for child in command.commands.values():
            group.add_command(in_application(child, app))
        return group
    callback = command.callback

    def run(*args: Any, **kwargs: Any) -> Any:
        with (app or make_app()).app_context():
            return callback(*args, **kwargs) if callback is not None else None

    return click.Command(command.name, callback=run, params=command.params, help=command.help, hidden=command.hidden)
