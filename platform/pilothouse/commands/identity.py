"""`pilothouse owner`, `token` and `audit`: identity's commands in an application context."""

from __future__ import annotations

import click

from pilothouse.commands.application import in_application
from pilothouse.identity.cli import audit_group, owner_command, token_group

owner: click.Command = in_application(owner_command)
token: click.Command = in_application(token_group)
audit: click.Command = in_application(audit_group)
