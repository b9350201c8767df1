"""What can be done to a group of errors, as its activity log names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pilothouse.sdk import Principal, new_id

RESOLVED, REOPENED, IGNORED, REGRESSED, WOKE = "resolved", "reopened", "ignored", "regressed", "woke"
ASSIGNED, UNASSIGNED, SEVERITY_SET, COMMENTED = "assigned", "unassigned", "severity_set", "commented"
ERROR_RESOLVED, ERROR_REOPENED = "error_resolved", "error_reopened"  # of one error, not of all of them


def entry(group_id: str, at: int, action: str, principal: Principal | None, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of one entry; `at` in ms, no principal means that Pilothouse did it by itself."""
    return {
        "id": new_id(),
        "group_id": group_id,
        "at": at,
        "actor_id": principal.id if principal else None,
        "actor": principal.called if principal else "",
        "action": action,
        "detail": msgspec.json.encode(dict(detail)).decode(),
    }
