"""Cursors: opaque, exact, and anything else is refused."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.errors import Invalid
from pilothouse.web.paging import page_of, read_cursor, write_cursor


def encoded(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


@given(st.integers(-(2**62), 2**62), st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
max_size=128))
def test_a_cursor_is_read_as_it_was_written(at, key):
    cursor = write_cursor(at, key)
    assert read_cursor(cursor) == (at, key)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "value",
    [[], [1], [1, "a", 2], ["1", "a"], [1, 2], {"at": 1}, None, 5, [2**63, "a"], [-(2**63), "a"], [1.5, "a"], [True, "a"],
     [1, "a\0b"],
     [1, "x" * 256], b"", b"\xff", b'[1,"\\ud800"]', b"[" * 5_000, b"[1,NaN]"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(value):
    with pytest.raises(Invalid) as caught:
        read_cursor(encoded(value))
    assert caught.value.errors[0].path == "cursor"


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_refused(text):
    try:
        at, key = read_cursor(text)
    except Invalid as fault:
        assert fault.status == 422  # noqa: PT017 - both ways are right
    else:
        assert isinstance(at, int)
        assert isinstance(key, str)


def test_a_page_is_cut_and_names_the_next():
    rows = [(9, "c"), (8, "b"), (7, "a")]
    page, cursor = page_of(rows, 2, lambda row: row)
    assert (page, read_cursor(cursor)) == (rows[:2], (8, "b"))


@pytest.mark.parametrize("rows", [[], [(9, "c")], [(9, "c"), (8, "b")]])
def test_the_last_page_names_none(rows):
    assert page_of(rows, 2, lambda row: row) == (rows, None)
