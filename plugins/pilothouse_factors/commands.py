"""`pilothouse factors`: the way back in for whoever lost phone and recovery codes."""

from __future__ import annotations

import click

from pilothouse.sdk import NotFound, find_user, normalise_email, unit_of_work
from pilothouse_factors import service


@click.group("factors")
def factors() -> None:
    """Second factors of members."""


@factors.command("reset")
@click.argument("email")
def reset(email: str) -> None:
    """Take every passkey and code from a member who has lost them; they sign in by mail again."""
    with unit_of_work():
        user = find_user(normalise_email(email))
        if user is None:
            raise NotFound(f"Nobody here has the address {email}.")
        service.reset(user)
    click.echo(f"{email} signs in without a second factor now.")
