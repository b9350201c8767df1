"""Pages by key instead of by number: any page costs the same, and rows that come in meanwhile are never shown twice.

A cursor holds the direction and the sort values of the row at the page's edge. NULL sorts last, on both databases.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, and_, or_, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from pilothouse.errors import Invalid

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is sorted by: columns from the most to the least important, the last one unique; one direction."""

    columns: tuple[InstrumentedAttribute[Any], ...]
    descending: bool = True

    @property
    def nullable(self) -> bool:
        """Whether a column may be empty, which costs the use of an index."""
        return any(column.property.columns[0].nullable for column in self.columns)

    def by(self, *, backwards: bool = False) -> list[ColumnElement[Any]]:
        """Return the ORDER BY; backwards reads the rows before a cursor, nearest first."""
        falling = self.descending != backwards
        terms: list[ColumnElement[Any]] = []
        for column in self.columns:
            if column.property.columns[0].nullable:
                empty = column.is_(None)
                terms.append(empty.desc() if backwards else empty.asc())
            terms.append(column.desc() if falling else column.asc())
        return terms

    def beyond(self, values: Sequence[Any], *, backwards: bool = False) -> ColumnElement[bool]:
        """Return the condition of the rows that come after the one with these sort values (before it, backwards)."""
        falling = self.descending != backwards
        if not self.nullable:
            row = tuple_(*self.columns)
            return row < tuple(values) if falling else row > tuple(values)
        either: list[ColumnElement[bool]] = []
        same: list[ColumnElement[bool]] = []
        for column, value in zip(self.columns, values, strict=True):
            step = _further(column, value, falling=falling, backwards=backwards)
            if step is not None:
                either.append(and_(*same, step))
            same.append(column.is_(None) if value is None else column == value)
        return or_(*either)


def _further(
    column: InstrumentedAttribute[Any], value: Any, *, falling: bool, backwards: bool
) -> ColumnElement[bool] | None:
    if value is None:  # NULL is last: nothing comes after it, everything else before
        return column.is_not(None) if backwards else None
    step = column < value if falling else column > value
    return step if backwards else or_(step, column.is_(None))


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after the row with `values`, or before it."""

    values: tuple[Any, ...]
    backwards: bool = False

    def write(self) -> str:
        """Write the cursor as text for an address."""
        body = msgspec.json.encode(["b" if self.backwards else "a", *self.values])
        return base64.urlsafe_b64encode(body).decode().rstrip("=")


def read_cursor(text: str, order: Order) -> Cursor:
    """Read a cursor of a list in this order. Raises Invalid for anything that is none."""
    try:
        body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        direction, *values = msgspec.json.decode(body, type=list[Any])
        typed = tuple(_typed(column, value) for column, value in zip(order.columns, values, strict=True))
        backwards = {"a": False, "b": True}[direction]
    except (binascii.Error, ValueError, LookupError, TypeError, msgspec.MsgspecError, RecursionError, OverflowError):
        raise Invalid.field("cursor", "is not a cursor of this list") from None
    return Cursor(typed, backwards=backwards)


def _typed(column: InstrumentedAttribute[Any], value: Any) -> Any:
    definition = column.property.columns[0]
    if value is None and definition.nullable:
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("beyond a database's integers")
    return msgspec.convert(value, definition.type.python_type, strict=False)


@dataclass(frozen=True, slots=True)
class KeysetPage(Generic[Row]):
    """One page: its rows in the list's order, and the cursors of its neighbours, None where there is none."""

    rows: list[Row]
    newer: str | None
    older: str | None


def page_of(rows: Sequence[Row], size: int, order: Order, cursor: Cursor | None) -> KeysetPage[Row]:
    """Make a page of the at most `size + 1` rows that were read in the direction of the cursor."""
    backwards = cursor is not None and cursor.backwards
    more = len(rows) > size
    shown = list(rows[:size])
    if backwards:
        shown.reverse()
    if not shown:
        return KeysetPage([], None, None)
    first, last = (tuple(getattr(row, column.key) for column in order.columns) for row in (shown[0], shown[-1]))
    has_newer = more if backwards else cursor is not None
    has_older = True if backwards else more
    return KeysetPage(
        shown, Cursor(first, backwards=True).write() if has_newer else None, Cursor(last).write() if has_older else None
    )
