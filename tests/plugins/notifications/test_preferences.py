"""Preferences are kept however they come: also from two windows of one person at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from pilothouse.db import db, unit_of_work
from pilothouse.identity.users import add_user
from pilothouse.testing import environment, let_go, make_app
from pilothouse_notifications import preferences

ENDS_S = 20
LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def postgres_app(postgres_url: str, tmp_path: Path) -> Iterator[Flask]:
    """Build the application on PostgreSQL, where writers run at the same time."""
    app = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=postgres_url))
    with app.app_context():
        yield app
    let_go(app)


def beside(app: Flask, work: Callable[[], None], faults: list[Exception]) -> threading.Thread:
    """Start work in a thread of its own and return once it waits for what the caller has written."""

    def run() -> None:
        with app.app_context():
            try:
                work()
            except Exception as fault:  # noqa: BLE001 - told by the test that waits
                faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + ENDS_S
    with db.engine.connect() as connection:
        while thread.is_alive() and not connection.scalar(db.text(LOCKED)) and time.monotonic() < deadline:
            connection.rollback()
            time.sleep(0.01)
    return thread


@pytest.mark.postgres
@pytest.mark.parametrize("keep", ["categories", "schedule"])
def test_what_two_windows_save_at_once_is_saved(postgres_app: Flask, keep: str) -> None:
    with unit_of_work():
        reader = add_user("ada@example.com", "member").id

    def save() -> None:
        if keep == "schedule":
            preferences.set_digest(reader, "daily")
        else:
            preferences.choose(reader, {"workflow": {"email": False}})

    faults: list[Exception] = []
    with unit_of_work() as session:
        save()
        session.flush()
        second = beside(postgres_app, save, faults)
    second.join(ENDS_S)
    db.session.rollback()
    kept = preferences.of_person(reader)
    assert faults == []
    assert kept.digest == "daily" if keep == "schedule" else not kept.chosen["workflow", "email"]
