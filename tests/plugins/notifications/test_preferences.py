"""Preferences are kept however they come: also from two windows of one person at once."""

from __future__ import annotations

import pytest

from pilothouse.db import unit_of_work
from pilothouse.identity.users import add_user
from pilothouse_notifications import preferences


@pytest.mark.postgres
@pytest.mark.parametrize("keep", ["categories", "schedule"])
def test_what_two_windows_save_at_once_is_saved(beside, keep):
    with unit_of_work():
        reader = add_user("ada@example.com", "member").id

    def save():
        if keep == "schedule":
            preferences.set_digest(reader, "daily")
        else:
            preferences.choose(reader, {"workflow": {"email": False}})

    with unit_of_work() as session:
        save()
        session.flush()
        second = beside(save)
    second.end()
    kept = preferences.of_person(reader)
    assert kept.digest == "daily" if keep == "schedule" else not kept.chosen["workflow", "email"]
