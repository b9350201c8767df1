"""The mail with an invitation, as text and as HTML."""

from __future__ import annotations

from email.message import EmailMessage
from typing import cast

from flask import render_template

from pilothouse.sdk import DAY, Role, runtime
from pilothouse_team.models import Invite
from pilothouse_team.permissions import SENTENCES

LIFETIME = 7 * DAY


def has_server() -> bool:
    """Say whether mails leave this machine; where not, the link is shown to who invites."""
    return bool(runtime().settings["PILOTHOUSE_SMTP_URL"])


def address_of(token: str) -> str:
    """Return an invitation's address; it starts with the configured one, whatever the request said."""
    return f"{runtime().settings.base_url}/invite/{token}"


def compose(invite: Invite, token: str) -> EmailMessage:
    """Write the mail."""
    message = EmailMessage()
    message["From"] = runtime().settings["PILOTHOUSE_MAIL_FROM"]
    message["To"] = invite.email
    message["Subject"] = "You are invited to Pilothouse"
    known = {
        "address": address_of(token), "days": LIFETIME // DAY, "host": runtime().settings.base_url, "role": invite.role,
        "inviter": invite.inviter, "sentence": SENTENCES[cast("Role", invite.role)],
    }  # fmt: skip
    message.set_content(render_template("team/mail/invite.txt", **known))
    message.add_alternative(render_template("team/mail/invite.html", **known), subtype="html")
    return message
