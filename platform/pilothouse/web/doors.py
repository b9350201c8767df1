"""Who may send signals: whoever is turned away is counted, so that people see why nothing arrives."""

from __future__ import annotations

from flask import request

from pilothouse.access import Principal
from pilothouse.contract.recording import Source
from pilothouse.errors import Forbidden, NotSignedIn
from pilothouse.identity.principal import current_principal, require
from pilothouse.runtime import runtime

SEND = "core.signals.send"
LONGEST_CLIENT = 100


def require_for(permission: str) -> Principal:
    """Return who is calling if they may do this; notes those who may not send signals. Raises as `require` does."""
    try:
        return require(permission)
    except (NotSignedIn, Forbidden) as fault:
        if permission == SEND:
            principal = current_principal()
            client = request.headers.get("User-Agent", "")[:LONGEST_CLIENT]
            runtime().ingest.turn_away(Source(principal.token_id if principal else None, client), fault)
        raise
