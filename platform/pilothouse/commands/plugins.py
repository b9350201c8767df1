"""`pilothouse plugins`: which there are, switching them, and the skeleton of a new one."""

from __future__ import annotations

import keyword
from importlib.metadata import entry_points
from pathlib import Path

import click

from pilothouse.commands import skeleton
from pilothouse.commands.application import in_application
from pilothouse.errors import Conflict, Invalid
from pilothouse.plugins.discovery import GROUP

NAME_CHARS = 40


@click.group("plugins")
def _plugins_group() -> None:
    """List, switch and make plugins."""


@click.command("list")
def _list() -> None:
    """List all installed plugins with their state, and the reason where one failed."""
    from pilothouse.web.system_api import list_plugins

    for plugin in list_plugins().data:
        reason = f": {plugin.reason}" if plugin.reason else ""
        click.echo(f"{plugin.state:9} {plugin.name:16} {plugin.version or '-':10} {plugin.title}{reason}")


@click.command("enable")
@click.argument("name")
def _enable(name: str) -> None:
    """Switch the plugin NAME on; running processes follow within two seconds."""
    _switch(name, enabled=True)


@click.command("disable")
@click.argument("name")
def _disable(name: str) -> None:
    """Switch the plugin NAME off; its data stays."""
    _switch(name, enabled=False)


@click.command("new")
@click.argument("name")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where to make it.")
def _new(name: str, folder: Path) -> None:
    """Make a complete, working plugin called NAME: a page, an endpoint, a task, a table and their tests."""
    plain = name.isascii() and name.isidentifier() and name == name.lower() and not keyword.iskeyword(name)
    if not plain or len(name) > NAME_CHARS:
        raise Invalid("a plugin's name is a lower-case word of letters, digits and underscores")
    if any(point.name == name for point in entry_points(group=GROUP)):
        raise Conflict(f"a plugin named {name} is installed already")
    place = folder / f"pilothouse-{name.replace('_', '-')}"
    if place.exists():
        raise Conflict(f"{place} is there already")
    for path, text in skeleton.files(name).items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    click.echo(f"Made {place}. Next: pip install -e {place} && pilothouse db upgrade, then restart Pilothouse.")


def _switch(name: str, *, enabled: bool) -> None:
    from pilothouse import audit
    from pilothouse.db import unit_of_work
    from pilothouse.plugins.switches import switch

    with unit_of_work():
        switch(name, enabled=enabled, by="cli")
        audit.record("plugin.enabled" if enabled else "plugin.disabled", f"plugin:{name}")
    click.echo(f"{name} is {'on' if enabled else 'off'}.")


plugins_group = click.Group(
    "plugins", help=_plugins_group.help, commands=[*(in_application(c) for c in (_list, _enable, _disable)), _new]
)
