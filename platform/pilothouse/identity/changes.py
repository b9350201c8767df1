"""The word to every process that who may do what has changed."""

from __future__ import annotations

from pilothouse.db import after_commit
from pilothouse.runtime import runtime

TOPIC = "identity"


def identity_changed() -> None:
    """Let every process forget the principals that it knows, once the open unit of work has committed.

    The answer to the request that made the change leaves after that, so the change holds for the next request.
    """
    changes = runtime().changes
    after_commit(lambda: changes.bump(TOPIC))
