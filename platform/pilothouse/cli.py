"""The command line: which commands there are, and how their faults are told. Each is imported only when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pilothouse.errors import PilothouseError, SettingsError

if TYPE_CHECKING:
    from flask import Flask

FAILED = 1
WRONG_USE = 2  # of options and settings alike
INTERRUPTED = 130  # what shells report for Ctrl-C: 128 and the signal's number

# name -> where it is, and its help line, so that `pilothouse --help` imports none of them
COMMANDS = {
    "up": ("pilothouse.commands.run:up", "Make what is missing and run everything on this machine."),
    "web": ("pilothouse.commands.run:web", "Run one web server."),
    "worker": ("pilothouse.commands.run:worker", "Run one Celery worker."),
    "scheduler": ("pilothouse.commands.run:scheduler", "Run the scheduler; one is enough."),
    "db": ("pilothouse.commands.database:db_group", "Upgrade, downgrade and check the database."),
    "owner": ("pilothouse.commands.identity:owner", "Make the owner and print a sign-in link."),
    "token": ("pilothouse.commands.identity:token", "Make, list and revoke access tokens."),
    "audit": ("pilothouse.commands.identity:audit", "Check the audit log."),
    "routes": ("pilothouse.commands.inspect:routes", "List all routes with their permissions."),
    "openapi": ("pilothouse.commands.inspect:openapi", "Print the OpenAPI document."),
    "doctor": ("pilothouse.commands.inspect:doctor", "Check everything and say what to do."),
    "plugins": ("pilothouse.commands.plugins:plugins_group", "List, switch and make plugins."),
    "keys": ("pilothouse.commands.keys:keys_group", "Rotate the vault's master key."),
    "backup": ("pilothouse.commands.database:backup", "Write a backup while everything runs."),
    "restore": ("pilothouse.commands.database:restore", "Restore a backup into an empty place."),
    "demo": ("pilothouse.commands.demo:demo", "Run real sample workflows against the running server."),
}
HIDDEN = {"prepare": "pilothouse.commands.run:prepare"}


class LazyGroup(click.Group):
    """A group that imports a command when it is called; what it does not know may be a plugin's."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the core's commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name; None where neither the core nor a plugin has it."""
        place = COMMANDS[cmd_name][0] if cmd_name in COMMANDS else HIDDEN.get(cmd_name)
        if place is None:
            return _plugin_command(cmd_name)
        module, _, name = place.partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands from the help lines alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pilothouse", prog_name="pilothouse")
def cli() -> None:
    """Pilothouse: the operations console for teams that run AI workflows and agents.

    Settings are environment variables; `pilothouse up` needs none. Plugins may add commands of their own.
    """


def main(arguments: Sequence[str] | None = None, *, app: Flask | None = None) -> None:
    """Run the command line and end the process; a fault is one plain line on stderr, each wrong setting its own.

    `app` is an application that a forked process has from its parent.
    """
    try:
        code = cli.main(args=arguments, prog_name="pilothouse", standalone_mode=False, obj=app)
    except Exception as fault:  # noqa: BLE001 - whatever happens, a person gets a plain line and a script an exit code
        lines, code = explain_fault(fault)
        for line in lines:
            click.echo(f"pilothouse: {line}", err=True)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code if isinstance(code, int) else 0)


def explain_fault(fault: BaseException) -> tuple[list[str], int]:
    """Return the lines that tell a fault, and the exit code."""
    if isinstance(fault, SettingsError):
        return fault.detail.split("; "), WRONG_USE
    if isinstance(fault, PilothouseError):
        return [_one_line(fault.detail)], FAILED
    if isinstance(fault, click.exceptions.Abort):
        return ["aborted"], INTERRUPTED
    if isinstance(fault, click.ClickException):
        return [_one_line(fault.format_message())], fault.exit_code
    return [_database_fault(fault) or _one_line(f"{type(fault).__name__}: {fault}")], FAILED


def _database_fault(fault: BaseException) -> str | None:
    from sqlalchemy.exc import DBAPIError

    from pilothouse.db import explain

    if not isinstance(fault, DBAPIError):
        return None
    outage = explain(fault)
    words = str(fault.orig)
    if "no such table" in words or "does not exist" in words:
        return "the database is not set up; run `pilothouse db upgrade`"
    return outage.detail if outage is not None else _one_line(f"the database failed: {words}")


def _plugin_command(name: str) -> click.Command | None:
    if name.startswith("-"):
        return None
    from pilothouse.commands.application import in_application, make_app
    from pilothouse.runtime import EXTENSION

    app = make_app()
    registry = app.extensions[EXTENSION].registry
    found = next((command for _, command in registry.all("cli") if command.name == name), None)
    return None if found is None else in_application(found, app)


def _one_line(text: str) -> str:
    return " ".join(text.split())
