"""Commands of identity: the owner, access tokens, the check of the audit log. They run in an application context."""

from __future__ import annotations

import click

from pilothouse import audit, clock
from pilothouse.access import SCOPES
from pilothouse.db import unit_of_work
from pilothouse.identity.access_tokens import create_token, revoke_token, tokens
from pilothouse.identity.owner import make_owner
from pilothouse.settings import duration


@click.command("owner")
@click.argument("email")
def owner_command(email: str) -> None:
    """Make EMAIL the owner where there is none, and print a fresh sign-in link.

    The link works once, within 10 minutes, in any browser, and also when mail is away.
    """
    click.echo(make_owner(email))


@click.group("token")
def token_group() -> None:
    """Make, list and revoke access tokens."""


def _expiry(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return clock.now() + duration(value)
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from fault


@token_group.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="Once for each scope.")
@click.option("--expires", "expires_at", callback=_expiry, help="When it ends: 12h, 30d from now. Never if left out.")
def create_command(name: str, scopes: tuple[str, ...], expires_at: int | None) -> None:
    """Make a token called NAME, which acts as owner within its scopes, and print it. It is shown only now."""
    with unit_of_work():
        _, token = create_token(name, scopes, expires_at=expires_at)
    click.echo(token)


@token_group.command("list")
def list_command() -> None:
    """List the tokens that work: id, first characters, scopes, end and name."""
    for row in tokens():
        end = clock.to_rfc3339(row.expires_at) if row.expires_at else "never expires"
        click.echo(f"{row.id}  {row.prefix}…  {row.scopes.replace(' ', ',')}  {end}  {row.name}")


@token_group.command("revoke")
@click.argument("token_id", metavar="ID")
def revoke_command(token_id: str) -> None:
    """Revoke the token with this ID; it is refused from the next request on."""
    with unit_of_work():
        revoke_token(token_id)
    click.echo(f"Revoked {token_id}.")


@click.group("audit")
def audit_group() -> None:
    """Check the audit log."""


@audit_group.command("verify")
def verify_command() -> None:
    """Check the hash chain of the audit log; fails at the first entry that was changed or is missing."""
    verdict = audit.examine()
    if verdict.broken_at is not None:
        raise click.ClickException(f"The audit log is broken: entry {verdict.broken_at} was changed or is missing.")
    click.echo(f"{verdict.entries} entries, whole. Head {verdict.head}")


COMMANDS: tuple[click.Command, ...] = (owner_command, token_group, audit_group)
