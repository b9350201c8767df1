"""CSV: it streams, stays small, and no spreadsheet runs it."""

from __future__ import annotations

import csv
import io
import tracemalloc

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.web.csv_stream import ROWS_A_PART, csv_response, safe_cell


@pytest.fixture(autouse=True)
def request_context():
    """Stand in a request: the response streams within its context."""
    with Flask(__name__).test_request_context("/"):
        yield


def read(response):
    return list(csv.reader(io.StringIO(response.get_data(as_text=True), newline="")))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "-1e5", "--1", "@sum", "\tx", "\rx", "\n=x", "=", "-", "+49 123"])
def test_what_a_spreadsheet_would_run_leaves_as_text(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a", "", "a=b", "1", "-1", "-0.000000001", 5, -5, 1.5, True, " =x"])
def test_everything_else_stays(value):
    assert safe_cell(value) == value


def test_nothing_is_an_empty_cell():
    assert safe_cell(None) == ""


def test_a_file_has_a_name_and_is_stored_nowhere():
    response = csv_response("runs.csv", ("a",), [])
    assert response.headers["Content-Disposition"] == 'attachment; filename="runs.csv"'
    assert (response.content_type, response.headers["Cache-Control"]) == ("text/csv; charset=utf-8", "no-store")
    assert read(response) == [["a"]]


def test_cells_may_hold_anything():
    row = ["a,b", 'say "x"', "two\nlines", "\N{SNOWMAN}", 5, None]
    assert read(csv_response("x.csv", ("a", "b", "c", "d", "e", "f"), [row]))[1] == ["a,b", 'say "x"', "two\nlines",
    "\u2603", "5", ""]


@given(st.lists(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2), max_size=5))
def test_whatever_is_written_is_read_back_or_marked(rows):
    with Flask(__name__).test_request_context("/"):
        found = read(csv_response("x.csv", ("a", "b"), rows))[1:]
    assert [[cell.removeprefix("'") for cell in row] for row in found] == [[cell.removeprefix("'") for cell in row] for row in rows]


def test_rows_leave_as_they_are_read():
    taken = []

    def rows():
        for number in range(1_000):
            taken.append(number)
            yield [number]

    parts = csv_response("x.csv", ("n",), rows()).iter_encoded()
    assert next(parts) == b"n\r\n"
    assert taken == []
    assert next(parts).count(b"\r\n") == len(taken) == ROWS_A_PART


def test_a_large_file_costs_little_memory():
    tracemalloc.start()
    response = csv_response("x.csv", ("n", "text"), ([number, "x" * 100] for number in range(100_000)))
    size = sum(len(part) for part in response.iter_encoded())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 10_000_000
    assert peak < 1_000_000
