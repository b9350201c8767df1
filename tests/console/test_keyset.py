"""Cursors hold on to the order they were made for, with and without empty values."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Integer, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pilothouse.errors import Invalid
from pilothouse.web.keyset import Cursor, Order, page_of, read_cursor


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int | None] = mapped_column(Integer)


@pytest.fixture(scope="module")
def engine():
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def read(session, order, cursor, size):
    backwards = cursor is not None and cursor.backwards
    statement = select(Item).order_by(*order.by(backwards=backwards)).limit(size + 1)
    if cursor is not None:
        statement = statement.where(order.beyond(cursor.values, backwards=backwards))
    return page_of(session.scalars(statement).all(), size, order, cursor)


def walk(session, order, size, *, backwards=False):
    page, pages = read(session, order, None, size), []
    pages.append(page)
    while page.older:
        page = read(session, order, read_cursor(page.older, order), size)
        pages.append(page)
    if not backwards:
        return [[row.id for row in page.rows] for page in pages]
    pages = [page]
    while page.newer:
        page = read(session, order, read_cursor(page.newer, order), size)
        pages.append(page)
    return [[row.id for row in page.rows] for page in reversed(pages)]


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=25), descending=st.booleans(), size=st.integers(1, 7))
def test_pages_are_the_sorted_list_cut_in_pieces(engine, sizes, descending, size):
    order = Order((Item.size, Item.id), descending=descending)
    with Session(engine) as session:
        session.add_all([Item(id=index + 1, size=value) for index, value in enumerate(sizes)])
        session.flush()
        whole = session.scalars(select(Item.id).order_by(*order.by())).all()
        forwards, backwards = walk(session, order, size), walk(session, order, size, backwards=True)
        session.rollback()
    assert [row for page in forwards for row in page] == whole
    assert [row for page in backwards for row in page][-len(whole):] == whole


def test_a_cursor_survives_being_written():
    order = Order((Item.size, Item.id))
    cursor = Cursor((None, 7), backwards=True)
    assert read_cursor(cursor.write(), order) == cursor


@pytest.mark.parametrize("text", ["", "a", "e30", "WyJjIiwxLDJd", "WyJhIiwieCIsMV0", "WyJhIl0", "\u00e4", "W1tbXV1d", "bnVsbA"])
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(Invalid, match="cursor"):
        read_cursor(text, Order((Item.size, Item.id)))


def test_columns_that_are_never_empty_are_compared_as_one_row():
    assert "(items.id) < (" in str(Order((Item.id,)).beyond((5,)))
    assert Order((Item.id,)).nullable is False
