"""`pilothouse keys`: the vault's master key."""

from __future__ import annotations

import os

import click

from pilothouse.commands.application import in_application
from pilothouse.contract.work import Task
from pilothouse.errors import Conflict


@click.group("keys")
def _keys_group() -> None:
    """Rotate the vault's master key."""


@_keys_group.command("rotate-master")
def _rotate_master() -> None:
    """Put a new master key before the others; also while everything runs.

    What is sealed from now on is wrapped with the new key; running processes read the file again when they meet it.
    The old keys stay in the file: what they sealed, and older backups, can still be opened.
    """
    from pilothouse import audit
    from pilothouse.crypto import MASTER_FILE, add_master_key
    from pilothouse.db import unit_of_work
    from pilothouse.runtime import runtime

    if runtime().settings["PILOTHOUSE_MASTER_KEYS_COMMAND"] and not os.environ.get("PILOTHOUSE_MASTER_KEYS"):
        raise Conflict("the master keys come from PILOTHOUSE_MASTER_KEYS_COMMAND: let it print a new key before the others")
    if os.environ.get("PILOTHOUSE_MASTER_KEYS"):
        raise Conflict(
            "PILOTHOUSE_MASTER_KEYS is set: put a new key (openssl rand -base64 32) before the others there and restart"
        )
    key = add_master_key(runtime().settings.data_dir / MASTER_FILE)
    runtime().keyring.reload()
    with unit_of_work():
        audit.record("core.master_key_rotated", f"master_key:{key}")
    for name, task in rewrapping(runtime().registry.all("tasks")):
        task.run({})
        click.echo(f"{name}: its secrets are wrapped with the new key.")
    click.echo(f"The newest master key is {key}.")


def rewrapping(tasks: list[tuple[str, Task]]) -> list[tuple[str, Task]]:
    """Return the tasks named `<plugin>.rewrap`: by that name a plugin wraps what it has sealed with the newest key."""
    return [(plugin, task) for plugin, task in tasks if task.name.endswith(".rewrap")]


keys_group: click.Command = in_application(_keys_group)
