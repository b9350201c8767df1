"""The audit log: with its action or not at all, in one chain, and no tampering goes unnoticed."""

from __future__ import annotations

import threading

import pytest

from pilothouse import audit
from pilothouse.access import Principal
from pilothouse.db import unit_of_work

ADA = Principal("u1", "owner", "Ada", "ada@example.com", user_id="u1")


@pytest.fixture
def log(context):
    """Write ten entries."""
    with unit_of_work():
        for number in range(10):
            audit.record("test.done", f"thing {number}", principal=ADA, detail={"number": number})


def verdict(app) -> int | None:
    with app.app_context():
        return audit.verify()


def test_an_entry_says_who_did_what_to_what(log, rows):
    assert rows("SELECT actor, actor_name, action, target, outcome, detail FROM audit_log WHERE seq = 3") == [
        ("u1", "ada@example.com", "test.done", "thing 2", "ok", '{"number": 2}')
    ]


def test_the_log_is_whole_when_nobody_touched_it(log, app):
    assert verdict(app) is None


def test_an_empty_log_is_whole(app):
    assert verdict(app) is None


COLUMNS = ["id", "at", "actor", "actor_name", "action", "target", "outcome", "detail", "prev_hash", "hash"]
FOREIGN = """INSERT INTO audit_log SELECT 11, 'x', at, actor, actor_name, action, target, outcome, detail, hash, hash
FROM audit_log WHERE seq = 10"""


@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_field_is_found(log, app, rows, column):
    rows(f"UPDATE audit_log SET {column} = '7' WHERE seq = 4")
    assert verdict(app) == 4


@pytest.mark.parametrize(("statement", "broken"), [
    ("DELETE FROM audit_log WHERE seq = 1", 1),
    ("DELETE FROM audit_log WHERE seq = 5", 5),
    ("DELETE FROM audit_log WHERE seq = 10", 10),
    ("DELETE FROM audit_log WHERE seq > 6", 7),
    ("DELETE FROM audit_log", 1),
    ("DELETE FROM audit_head", 1),
    ("UPDATE audit_head SET entries = 9", 10),
    ("UPDATE audit_head SET hash = 'x'", 10),
    ("UPDATE audit_log SET seq = 11 WHERE seq = 10", 10),
    (FOREIGN, 11),
])
def test_missing_moved_and_foreign_entries_are_found(log, app, rows, statement, broken):
    rows(statement)
    assert verdict(app) == broken


def test_exchanged_entries_are_found(log, app, rows):
    rows("UPDATE audit_log SET seq = 99 WHERE seq = 2")
    rows("UPDATE audit_log SET seq = 2 WHERE seq = 3")
    rows("UPDATE audit_log SET seq = 3 WHERE seq = 99")
    assert verdict(app) == 2


def test_going_on_after_a_deletion_does_not_heal_the_chain(log, app, rows):
    rows("DELETE FROM audit_log WHERE seq = 10")
    rows("DELETE FROM audit_head")
    with app.app_context(), unit_of_work():
        audit.record("test.done")
    assert verdict(app) == 10


def test_an_entry_vanishes_with_its_action(app, rows):
    def fail():
        with app.app_context(), unit_of_work():
            audit.record("test.done")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert rows("SELECT count(*) FROM audit_log") == [(0,)]


def test_parallel_writers_make_one_chain(app, rows):
    def write(name):
        for number in range(10):
            with app.app_context(), unit_of_work():
                audit.record("test.done", f"{name} {number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows("SELECT count(*), max(seq) FROM audit_log") == [(80, 80)]
    assert verdict(app) is None


def test_a_long_log_is_read_in_batches(app, rows):
    with app.app_context(), unit_of_work():
        for _ in range(audit.BATCH + 1):
            audit.record("test.done")
    assert verdict(app) is None
    rows(f"UPDATE audit_log SET action = 'x' WHERE seq = {audit.BATCH + 1}")
    assert verdict(app) == audit.BATCH + 1


def test_without_anybody_it_is_the_system_or_an_anonymous_caller(app, rows):
    with app.app_context(), unit_of_work():
        audit.record("test.done")
    with app.test_request_context(), unit_of_work():
        audit.record("test.done")
    assert rows("SELECT actor FROM audit_log ORDER BY seq") == [("system",), ("anonymous",)]


def test_whatever_is_written_is_hashed_as_it_is_read(app, rows):
    with app.app_context(), unit_of_work():
        audit.record("test.done", "x" * 400, detail={"text": "ü\u2028\x00\U0001f600", "none": None, "float": 0.1})
    assert verdict(app) is None
    assert rows("SELECT length(target) FROM audit_log") == [(255,)]


def test_the_examination_tells_how_far_it_read(log, app):
    with app.app_context():
        found = audit.examine()
    assert (found.entries, found.broken_at, len(found.head)) == (10, None, 64)
