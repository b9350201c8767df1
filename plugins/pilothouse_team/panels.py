"""What team adds to other pages: a step of "Get started"."""

from __future__ import annotations

from flask import url_for

from pilothouse.sdk import FirstStep
from pilothouse_team import queries


def first_step(_subject_id: str) -> FirstStep:
    """Return the step of not staying alone; done once there is, or was invited, a second person."""
    members, waiting = queries.counts()
    return FirstStep(
        "Invite people", "Each role says what it may do; a viewer changes nothing.",
        done=members + waiting > 1, url=url_for("team.invite"), label="Invite people",
    )  # fmt: skip
