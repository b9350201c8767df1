"""Mails about notices: as text and as HTML, with a way out in one click (RFC 8058)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid
from urllib.parse import urlsplit

from flask import render_template
from itsdangerous import BadSignature, URLSafeSerializer

from pilothouse.sdk import NotFound, runtime

SALT = "notifications.unsubscribe"
LISTED = 50  # notices that one mail lists; what is more is counted


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as mails and messages tell of it."""

    title: str
    message: str
    category: str
    kind: str
    count: int
    action_url: str | None
    action_label: str | None

    @property
    def heading(self) -> str:
        """The title in one line, with how many times."""
        title = " ".join(self.title.split())
        return f"{title} ({self.count} times)" if self.count > 1 else title

    @property
    def url(self) -> str | None:
        """The address of what to look at."""
        if self.action_url is None:
            return None
        return self.action_url if urlsplit(self.action_url).scheme else f"{runtime().settings.base_url}{self.action_url}"


def compose(address: str, told: Sequence[Told], user_id: str | None = None) -> EmailMessage:
    """Write one mail of some notices; to a member it carries their own way to unsubscribe."""
    base = runtime().settings.base_url
    message = EmailMessage()
    message["From"] = runtime().settings["PILOTHOUSE_MAIL_FROM"]
    message["To"] = address
    message["Subject"] = told[0].heading if len(told) == 1 else f"{len(told)} notifications from Pilothouse"
    message["Message-ID"] = make_msgid(domain=urlsplit(base).hostname or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    if user_id is not None:
        kind = told[0].kind if len({each.kind for each in told}) == 1 else ""
        message["List-Unsubscribe"] = f"<{base}/notifications/unsubscribe/{write_pass(user_id, kind)}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    shown = {"told": told[:LISTED], "more": len(told) - LISTED, "base": base, "personal": user_id is not None}
    message.set_content(render_template("notifications/mail/notice.txt", **shown))
    message.add_alternative(render_template("notifications/mail/notice.html", **shown), subtype="html")
    return message


def write_pass(user_id: str, kind: str) -> str:
    """Make what lets somebody unsubscribe from mails of a group (all where it is empty) without signing in."""
    return str(_serializer().dumps([user_id, kind]))


def read_pass(text: str) -> tuple[str, str]:
    """Return the user's id and the group of a pass. Raises NotFound for anything that `write_pass` did not make."""
    try:
        user_id, kind = _serializer().loads(text)
    except BadSignature:
        raise NotFound("This link is not known; it may be cut off.") from None
    return str(user_id), str(kind)


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(runtime().settings["PILOTHOUSE_SECRET_KEY"], salt=SALT)
