"""The team's work in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_team import invites


def send_invite(payload: Mapping[str, Any]) -> None:
    """Mail an invitation, `{"invite_id"}`."""
    invites.send(str(payload["invite_id"]))
