"""Identity's work in the background: mails with sign-in links, and the removal of what is over."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from flask import render_template

from pilothouse.contract.work import BeatEntry, Task
from pilothouse.identity.magic_links import LIFETIME, SEND, address_of, arm, purge_links
from pilothouse.identity.sessions import purge_sessions
from pilothouse.runtime import runtime
from pilothouse.work import mail

PURGE = "core.purge_identity"
PURGE_EVERY_S = 3_600.0
MINUTE = 60_000


def send_magic_link(payload: Mapping[str, Any]) -> None:
    """Mail a link, `{"link_id"}`. Nothing is sent to unknown or suspended people, nor once the link is used or over."""
    armed = arm(str(payload["link_id"]))
    if armed is not None:
        mail.send(compose(*armed))


def compose(email: str, token: str) -> EmailMessage:
    """Write the mail with the sign-in link, as text and as HTML."""
    message = EmailMessage()
    message["From"] = runtime().settings["PILOTHOUSE_MAIL_FROM"]
    message["To"] = email
    message["Subject"] = "Sign in to Pilothouse"
    known = {"address": address_of(token), "minutes": LIFETIME // MINUTE, "host": runtime().settings.base_url}
    message.set_content(render_template("ph/mail/sign_in.txt", **known))
    message.add_alternative(render_template("ph/mail/sign_in.html", **known), subtype="html")
    return message


def purge(_payload: Mapping[str, Any]) -> None:
    """Delete sessions and links that are over."""
    purge_sessions()
    purge_links()


TASKS = (Task(SEND, send_magic_link, transaction=False), Task(PURGE, purge))
BEAT = (BeatEntry(PURGE, PURGE, PURGE_EVERY_S),)
