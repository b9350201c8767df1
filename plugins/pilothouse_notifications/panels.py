"""What notifications adds to other pages: a step of "Get started"."""

from __future__ import annotations

from flask import url_for

from pilothouse.sdk import FirstStep, require
from pilothouse_notifications import preferences
from pilothouse_notifications.permissions import VIEW
from pilothouse_notifications.queries import reader_of


def first_step(_subject_id: str) -> FirstStep:
    """Return the step of choosing what one is told; done once anything was chosen."""
    user_id = reader_of(require(VIEW))
    return FirstStep(
        "Choose what you are told", "Failed workflows and new errors reach you here and by mail, unless you say otherwise.",
        done=user_id is not None and preferences.of_person(user_id) != preferences.Choices(),
        url=url_for("notifications.preferences"), label="Choose",
    )  # fmt: skip
