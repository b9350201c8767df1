"""Exceptions in words that may be stored and shown: no statement, no row, no secret."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from pilothouse.db import db
from pilothouse.faults import LIMIT, describe, message_of, where


def raised(function):
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def test_a_fault_is_told_by_type_and_message():
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(ValueError()) == "ValueError"
    assert message_of(ValueError("")) == ""


def test_secrets_and_what_no_store_holds_leave():
    assert describe(ValueError("Bearer abcdefghijklmnop\0\ud800")) == "ValueError: [scrubbed]mnop?"


def test_a_long_message_is_cut():
    assert len(describe(ValueError("x" * 9_000))) == LIMIT


@pytest.mark.parametrize("statement", ["SELECT hidden FROM nowhere",
"INSERT INTO plugin_switches VALUES ('secret-name', NULL, 'x')"])
def test_of_a_database_fault_neither_statement_nor_row_is_told(either_app, statement):
    fault = raised(lambda: db.session.execute(db.text(statement)))
    assert isinstance(fault, DBAPIError)
    for word in ("SELECT", "INSERT", "hidden FROM", "secret-name", "LINE 1"):
        assert word not in describe(fault)
    db.session.rollback()


def test_the_place_is_that_of_the_innermost_frame():
    told = where(raised(lambda: db.create_engine("nonsense")))
    assert " in " in told
    assert where(ValueError("never raised")) == ""
