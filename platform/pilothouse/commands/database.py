"""`pilothouse db`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pilothouse import home
from pilothouse.commands.application import in_application, make_app, settings
from pilothouse.errors import Conflict


@click.group("db")
def _db_group() -> None:
    """Upgrade, downgrade and check the database: the core's part and each plugin's."""


@_db_group.command("upgrade")
def _upgrade() -> None:
    """Bring the database to the newest revision of every part."""
    from pilothouse import migrate

    moved = migrate.upgrade()
    click.echo(f"Upgraded: {', '.join(moved)}." if moved else "The database was at its newest revision already.")


@_db_group.command("downgrade")
@click.argument("revision", required=False)
def _downgrade(revision: str | None) -> None:
    """Go back one step, or to REVISION: `<plugin>@<revision>`, `<plugin>@base`, or a revision of the core."""
    from pilothouse import migrate

    click.echo(f"Downgraded to {migrate.downgrade(revision)}.")


@_db_group.command("check")
def _check() -> None:
    """Compare the database with the models; fails and names each difference."""
    from pilothouse import migrate

    differences = migrate.check()
    for difference in differences:
        click.echo(difference)
    if differences:
        raise click.ClickException(f"The database differs from the models in {len(differences)} places.")
    click.echo("The database is as the models say.")


@_db_group.command("current")
def _current() -> None:
    """Show the revision of each part."""
    from pilothouse import migrate

    for name, revision in migrate.current().items():
        click.echo(f"{name} {revision or '(never upgraded)'}")


@_db_group.command("revision")
@click.argument("plugin")
@click.argument("message")
def _revision(plugin: str, message: str) -> None:
    """Write a migration of PLUGIN from what its models and the database differ in; MESSAGE says what changes."""
    from pilothouse import migrate

    click.echo(f"Wrote {migrate.revision(plugin, message)}.")


db_group: click.Command = in_application(_db_group)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--with-keys", is_flag=True, help="Put the secret and master keys in too: keep such a file like a key.")
def backup(file: Path, *, with_keys: bool) -> None:
    """Write a backup to FILE while everything runs.

    It holds the database alone. Without secret.key and master.keys of the data folder no stored secret can be read
    again, so keep a copy of those elsewhere, or use --with-keys.
    """
    from pilothouse import archive

    size = archive.write(settings(), file.resolve(), with_keys=with_keys)
    click.echo(f"Wrote {file} ({size / 1e6:.1f} MB{', with keys' if with_keys else ', without keys'}).")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def restore(file: Path) -> None:
    """Restore the backup FILE into an empty place: a new data folder, or an empty PostgreSQL database."""
    from pilothouse import archive

    manifest = archive.read_manifest(file)
    place = settings(require_secrets=False)
    kind = "sqlite" if place.database_url.startswith("sqlite") else "postgresql"
    if manifest["database"] != kind:
        raise Conflict(f"{file} is a backup of {manifest['database']}, and PILOTHOUSE_DATABASE_URL names {kind}")
    with home.made(place.data_dir):
        if kind == "sqlite":
            archive.restore_sqlite(place, file)
            keys = archive.restore_keys(place, file)
        else:
            keys = archive.restore_keys(place, file)
            _restore_postgres(file, manifest)
    click.echo(f"Restored {file}, made {manifest['made_at']}{' with ' + ', '.join(keys) if keys else ''}.")
    if not manifest["keys"]:
        click.echo("It holds no keys: put secret.key and master.keys back into the data folder before you start.")


def _restore_postgres(file: Path, manifest: dict[str, Any]) -> None:
    from pilothouse import archive, migrate
    from pilothouse.db import db

    with make_app().app_context():
        migrate.upgrade()
        archive.restore_postgres(db.engine, file, manifest)
