"""What errors adds to other pages: a step of "Get started"."""

from __future__ import annotations

from flask import url_for

from pilothouse.sdk import FirstStep
from pilothouse_errors import group_queries


def first_step(_subject_id: str) -> FirstStep:
    """Return the step that shows what becomes of a failure; done once any error came in."""
    return FirstStep(
        "See a failure", "What your program raises within an execution fails it and opens a group of errors, with its stack.",
        done=any(group_queries.counts().values()), url=url_for("errors.index"), label="Open errors",
        snippet='with client.execution("first-run"):\n    raise ValueError("something broke")', language="python",
    )  # fmt: skip
