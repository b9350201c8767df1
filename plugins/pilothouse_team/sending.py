"""Inviting several people at once: addresses as people paste them, and what became of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pilothouse.sdk import Invalid, PilothouseError, Principal, StoreAway, unit_of_work
from pilothouse_team import api, invites
from pilothouse_team.mails import has_server
from pilothouse_team.permissions import SENTENCES, given_by

MOST = 100  # addresses of one form: each is a transaction of its own
NAMED = re.compile(r"[^,;<>\n]*<([^<>]*)>")  # `Ada Moreau <ada@example.com>`, as mail programs copy it
BETWEEN = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one address: its link where no mail goes out, or why it was not invited."""

    email: str
    link: str | None = None
    problem: str = ""


def choices(by: Principal) -> dict[str, Any]:
    """Return what the form shows: the roles that may be given, with a sentence each."""
    roles = given_by(by)
    chosen = "member" if "member" in roles else roles[-1] if roles else ""
    return {"choices": [(role, SENTENCES[role]) for role in roles], "chosen": chosen, "mailed": has_server()}


def addresses(text: str) -> list[str]:
    """Return the addresses in a text, separated by commas, semicolons or white space, each once, in their order."""
    plain = NAMED.sub(r" \1 ", text)
    return list(dict.fromkeys(word for word in BETWEEN.split(plain) if word))


def send_all(text: str, role: str, by: Principal) -> list[Result]:
    """Invite each address in a transaction of its own. Raises Invalid where there is none, or no such role."""
    found = addresses(text)
    if not 1 <= len(found) <= MOST:
        raise Invalid.field("emails", f"Name 1 to {MOST} addresses.")
    wanted = invites.checked_role(role)
    return [_send(email, wanted, by) for email in found]


def _send(email: str, role: str, by: Principal) -> Result:
    try:
        with unit_of_work():
            sent = invites.invite(email, role, by)
            api.told()
    except StoreAway:
        raise
    except PilothouseError as fault:  # one wrong address must not keep the others from their invitation
        return Result(email, problem=fault.detail.removeprefix("email: "))
    return Result(sent.invite.email, sent.link)
