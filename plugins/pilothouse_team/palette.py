"""What the command palette finds of the team."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from pilothouse_team import queries

MOST = 8


def find(text: str) -> Sequence[Mapping[str, str]]:
    """Return members with the text in their name or address."""
    found = queries.members(queries.MemberFilters(q=text), MOST)[:MOST]
    return [
        {"title": user.name or user.email, "detail": f"{user.email}, {user.role}", "url": f"/team/?q={quote(user.email)}"}
        for user in found
    ]
