"""Audit entries in words: what was done ("removed a member"), to whom, and with which detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.sdk import AuditEntry, Member

SHOWN_CHARS = 12  # the end of an id, by which people tell two of them apart
PHRASES = {
    "identity.signed_in": "signed in",
    "identity.signed_out": "signed out",
    "identity.session_ended": "ended one of their sessions",
    "identity.other_sessions_ended": "signed out of all other browsers",
    "identity.user_added": "added a person",
    "identity.user_changed": "changed a member",
    "identity.user_removed": "removed a member",
    "identity.token_made": "made an access token",
    "identity.token_revoked": "revoked an access token",
    "team.invite_sent": "sent an invitation",
    "team.invite_resent": "sent an invitation again",
    "team.invite_revoked": "took back an invitation",
    "team.invite_accepted": "accepted an invitation",
    "plugin.enabled": "switched a plugin on",
    "plugin.disabled": "switched a plugin off",
    "plugin.contained": "left out a plugin that does not work",
    "plugin.recovered": "took a plugin in again",
}


def phrase(action: str) -> str:
    """Return an action in words; of one that is not known, its own name: `error.resolved` is "error resolved"."""
    return PHRASES.get(action) or action.replace(".", " ").replace("_", " ")


def subject(entry: AuditEntry, names: Mapping[str, Member], detail: Mapping[str, Any]) -> str:
    """Return what an entry is about: a member's name, an address or name out of the detail, the end of a long id."""
    if entry.target in names:
        return names[entry.target].name
    for key in ("email", "name"):
        if isinstance(detail.get(key), str) and detail[key]:
            return str(detail[key])
    target = entry.target
    return f"…{target[-SHOWN_CHARS:]}" if len(target) > 3 * SHOWN_CHARS - 1 and " " not in target else target


def facts(detail: Mapping[str, Any]) -> str:
    """Return an entry's detail in one line: "role: viewer → member" for a change, "address: ..." for the rest."""
    before, after = detail.get("from"), detail.get("to")
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return ", ".join(f"{key}: {before.get(key) or '–'} → {after[key]}" for key in after)
    return ", ".join(f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in detail.items() if value not in ("", None))


def _plain(value: Any) -> str:
    """Write a value as people read it: `status: open → resolved` for changes, which hold what was and what is."""
    if isinstance(value, Mapping):
        pairs = all(isinstance(one, list) and len(one) == 2 for one in value.values())  # noqa: PLR2004 - before and after
        return ", ".join(f"{key}: {' → '.join(map(_plain, one)) if pairs else _plain(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "–" if value in ("", None) else str(value)
